"""Variants at the address of their SKU, for clients that know nothing else.

SKUs may repeat: one that several variants carry names none of them, and is a conflict that lists
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_
from sqlalchemy.orm import Session

import values
from catalog import revisions
from catalog.expected import UNCONDITIONAL, Expected
from catalog.matching import ambiguous_sku, candidate
from catalog.merging import merged, without_repeated
from catalog.refs import MAX_CANDIDATES, locked_or_none
from errors import Fault, NotFound
from models import PRODUCT_STATUSES, JSONObject, Product, Variant
from reads import fetch
from schemas import SkuVariantSchema

_SCHEMA = SkuVariantSchema()
_READ_ONLY = tuple(name for name, field in _SCHEMA.fields.items() if field.dump_only)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A variant as clients read it, and the state of its product."""

    shown: JSONObject
    product_id: int
    version: int


def find(sku: str, statuses: Sequence[str]) -> Found:
    """The variant with this SKU among the living products of `statuses`.

    Raises NotFound, and Ambiguous for a SKU that several variants carry.
    """
    row = _only(fetch(_CARRYING, _wanted(sku, statuses), prepared=True), sku)
    return Found(_SCHEMA.dump(row), row.product_id, row.version)


def patch(
    session: Session, sku: str, change: JSONObject, expected: Expected = UNCONDITIONAL
) -> Found:
    """Apply a JSON merge patch to the variant with this SKU, whose product is to be as `expected`.

    Raises NotFound, Ambiguous, PreconditionFailed, PreconditionRequired, ValidationError, and
    Invalid for another value of what cannot be changed here.
    """
    product, variant = _locked(session, sku)
    expected.check(product)
    shown = _shown(variant, product)
    change = without_repeated(change, {name: shown[name] for name in _READ_ONLY})
    target = {name: value for name, value in shown.items() if name not in _READ_ONLY}
    for name, value in _SCHEMA.load(merged(target, change)).items():
        setattr(variant, name, value)
    if session.is_modified(variant):
        revisions.mark_changed(product)
        revisions.written(session, [product], {product})
    return Found(_shown(variant, product), product.id, product.version)


def _shown(variant: Variant, product: Product) -> JSONObject:
    return {**_SCHEMA.dump(variant), "product_handle": product.handle}


_CARRYING = f"""
SELECT {", ".join(f"v.{column.name}" for column in Variant.__table__.columns)},
    p.handle AS product_handle, p.version
FROM variants v JOIN products p ON p.id = v.product_id
WHERE v.sku = %(sku)s AND p.deleted_at IS NULL AND p.status = ANY(%(statuses)s::text[])
ORDER BY v.id LIMIT {MAX_CANDIDATES + 1}
"""  # noqa: S608  # made of our own columns


def _wanted(sku: str, statuses: Sequence[str]) -> JSONObject:
    try:
        return {"sku": values.label(sku), "statuses": list(statuses)}
    except Fault:  # no variant can have such a SKU
        raise _not_found(sku) from None


def _only(rows: Sequence[Any], sku: str) -> Any:
    if not rows:
        raise _not_found(sku)
    if len(rows) > 1:
        raise ambiguous_sku(
            [candidate(r.id, r.options, r.product_id, r.product_handle) for r in rows]
        )
    return rows[0]


def _locked(session: Session, sku: str) -> tuple[Product, Variant]:
    """The variant with this SKU, and its product, locked."""
    wanted = _wanted(sku, PRODUCT_STATUSES)
    for _ in range(_ATTEMPTS):
        row = _only(session.connection().exec_driver_sql(_CARRYING, wanted).all(), sku)
        product = locked_or_none(
            session, and_(Product.id == row.product_id, Product.deleted_at.is_(None))
        )
        variant = session.get(Variant, row.id, populate_existing=True)
        # While this waited for the lock, its holder may have changed what the SKU means.
        if product and variant and variant.sku == row.sku:
            return product, variant
    raise _not_found(sku)


def _not_found(sku: str) -> NotFound:
    return NotFound(f"There is no variant with the SKU {sku!r}.", code="variant_not_found")
