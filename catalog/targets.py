"""The products that a batch means: found by id, handle or SKU, and locked, all at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

import values
from catalog.matching import ambiguous_sku, candidate
from catalog.merging import invalid
from catalog.refs import MAX_CANDIDATES, not_found
from errors import Conflict, Fault, TooLarge
from models import Product, Variant

# What an item says of which product it means.
Name = tuple[Literal["id", "handle", "sku"], Any]

_NAMES: tuple[tuple[Literal["handle", "sku"], Any], ...] = (
    ("handle", values.handle),
    ("sku", values.label),
)
_CARRIERS = text("""
    SELECT found.* FROM unnest(CAST(:skus AS text[])) AS wanted (sku) CROSS JOIN LATERAL (
        SELECT v.id, v.sku, v.options, v.product_id, p.handle
        FROM variants v JOIN products p ON p.id = v.product_id
        WHERE v.sku = wanted.sku AND p.deleted_at IS NULL
        ORDER BY v.id LIMIT :limit
    ) found
""")


class Overtaken(Conflict):
    """What a SKU means was changed between looking it up and locking it."""


def name_of(sent: Any) -> Name | None:
    """What an item goes by: its id, else its handle, else its SKU. Raises Invalid."""
    if not isinstance(sent, dict):
        raise invalid("invalid_type", "must be an object", "")
    if "id" in sent:
        if type(sent["id"]) is not int:
            raise invalid("not_an_id", "must be the id of a product", "/id")
        return "id", sent["id"]
    for kind, rule in _NAMES:
        if sent.get(kind) is not None:
            try:
                return kind, rule(sent[kind])
            except Fault as fault:
                raise invalid(fault.code, fault.detail, f"/{kind}") from None
    return None


class Targets:
    """The living products that some names mean, locked, with up to `limit` variants in all."""

    def __init__(self, session: Session, names: Collection[Name], limit: int) -> None:
        of_kind: defaultdict[str, list[Any]] = defaultdict(list)
        for kind, value in names:
            of_kind[kind].append(value)
        self._carriers = _carriers(session, of_kind["sku"])
        ids = [value for value in of_kind["id"] if 0 < value <= values.MAX_ID]
        ids += [rows[0].product_id for rows in self._carriers.values() if len(rows) == 1]
        products = _locked(session, ids, of_kind["handle"])
        _load_variants(session, products, limit)
        self._by_id = {product.id: product for product in products}
        self._by_handle = {product.handle: product for product in products}

    def meant_by(self, name: Name | None) -> tuple[Product | None, Variant | None]:
        """The product of this name, and the variant if the name is its SKU; None for a new one.

        Raises NotFound for an id, Ambiguous for a SKU that several variants carry, Overtaken.
        """
        if name is None:
            return None, None
        kind, value = name
        if kind == "sku":
            return self._carrier(value)
        if kind == "handle":
            return self._by_handle.get(value), None
        if value not in self._by_id:
            raise not_found(str(value) if value.bit_length() < 64 else "of this id")
        return self._by_id[value], None

    def _carrier(self, sku: str) -> tuple[Product | None, Variant | None]:
        rows = self._carriers.get(sku, [])
        if len(rows) > 1:
            found = [candidate(r.id, r.options, r.product_id, r.handle) for r in rows]
            raise ambiguous_sku(found, "/sku")
        if not rows:
            return None, None
        product = self._by_id.get(rows[0].product_id)
        for variant in product.variants if product else ():
            if variant.id == rows[0].id and variant.sku == sku:
                return product, variant
        raise Overtaken("Others are changing these products.", code="changed_meanwhile")


def _carriers(session: Session, skus: Sequence[str]) -> dict[str, list[Any]]:
    """The variants that carry each SKU, one more than are listed if there are as many."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    if skus:
        for row in session.execute(_CARRIERS, {"skus": skus, "limit": MAX_CANDIDATES + 1}):
            found[row.sku].append(row)
    return found


def _locked(session: Session, ids: Iterable[int], handles: Sequence[str]) -> Sequence[Product]:
    wanted = [Product.id == func.any(list(ids)), Product.handle == func.any(list(handles))]
    return session.scalars(
        select(Product)
        .where(or_(*wanted), Product.deleted_at.is_(None))
        .order_by(Product.id)  # one order for all, so that two batches cannot lock each other out
        .with_for_update(),
        execution_options={"populate_existing": True},
    ).all()


def _load_variants(session: Session, products: Sequence[Product], limit: int) -> None:
    of_product: defaultdict[int, list[Variant]] = defaultdict(list)
    if products:
        rows = session.scalars(
            select(Variant)
            .where(Variant.product_id == func.any([product.id for product in products]))
            .order_by(Variant.id)
            .limit(limit + 1),
            execution_options={"populate_existing": True},
        ).all()
        if len(rows) > limit:
            raise TooLarge(f"These products have more than {limit} variants: send fewer at once.")
        for variant in rows:
            of_product[variant.product_id].append(variant)
    for product in products:
        set_committed_value(product, "variants", of_product[product.id])
