"""Which products the rows of a file mean that knows no handles: they are known by their SKUs."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import handles
from catalog.formats.rows import ProductRows, VariantRow
from models import JSONObject, Product, Variant


@dataclass(slots=True)
class Resolved:
    """Products, each with the handle that it has or will have, and why others have none."""

    products: dict[int, ProductRows] = field(default_factory=dict)  # by their index
    refused: dict[int, str] = field(default_factory=dict)  # index: code


def resolve(session: Session, products: Sequence[ProductRows], *, lock: bool) -> Resolved:
    """Find the living product of each SKU; a product of which none is known gets a free handle.

    A SKU that several products have means the one with the handle of the rows, and so do rows
    without any SKU. `lock` keeps what is found as it is until the transaction ends.
    """
    found = Resolved()
    known = _known(session, products, lock=lock)
    new: dict[int, None] = {}  # in the order of the file
    for index, product in enumerate(products):
        if not product.found_by_sku:
            found.products[index] = product
            continue
        rows = [row for sku in _skus(product) for row in known.get(sku, ())]
        candidates = {row.handle for row in rows}
        if len(candidates) > 1:
            candidates &= {product.handle}
            if not candidates:
                found.refused[index] = "ambiguous_sku"
                continue
        if candidates:
            found.products[index] = _as_stored(product, candidates.pop(), rows)
        elif product.handle:
            found.products[index] = product
            if _skus(product):
                new[index] = None
        else:
            found.refused[index] = "product_not_found"
    _refuse_repeats(found, new)
    _give_free_handles(session, found, new)
    return found


def _skus(product: ProductRows) -> list[str]:
    return [sku for variant in product.variants if (sku := variant.fields.get("sku"))]


def _known(
    session: Session, products: Sequence[ProductRows], *, lock: bool
) -> Mapping[str, list[Any]]:
    skus = {sku for product in products if product.found_by_sku for sku in _skus(product)}
    statement = (
        select(Variant.sku, Variant.options, Product.handle)
        .join_from(Variant, Product, Product.id == Variant.product_id)
        .where(Variant.sku == func.any(list(skus)), Product.deleted_at.is_(None))
        .order_by(Product.id)  # one order for all, as in staging
    )
    if lock:
        statement = statement.with_for_update(of=Product)
    known: defaultdict[str, list[Any]] = defaultdict(list)
    for row in session.execute(statement) if skus else ():
        known[row.sku].append(row)
    return known


def _as_stored(product: ProductRows, handle: str, rows: Sequence[Any]) -> ProductRows:
    """The rows under the stored handle; a variant without options is the one that has its SKU."""
    options: defaultdict[str, list[JSONObject]] = defaultdict(list)
    for row in rows:
        if row.handle == handle:
            options[row.sku].append(row.options)

    def named(variant: VariantRow) -> VariantRow:
        same = options.get(variant.fields.get("sku", ""), [])
        if variant.options or len(same) != 1:
            return variant
        return replace(variant, options=same[0])

    return replace(
        product, handle=handle, variants=[named(variant) for variant in product.variants]
    )


def _refuse_repeats(found: Resolved, new: Collection[int]) -> None:
    """Let the first of several rows have a product that they all mean."""
    seen: set[str] = set()
    for index, product in [*found.products.items()]:
        if index in new:
            continue
        if product.handle in seen:
            found.refused[index] = "duplicate_product"
            del found.products[index]
        seen.add(product.handle)


def _give_free_handles(session: Session, found: Resolved, new: Collection[int]) -> None:
    claimed = {product.handle for index, product in found.products.items() if index not in new}
    free = handles.free(session, [found.products[index].handle for index in new], claimed)
    for index, handle in zip(new, free, strict=True):
        found.products[index] = replace(found.products[index], handle=handle)
