"""Which product an address means: by its id, or by its handle as it would be stored.

Whoever writes a product or its variants locks the product's row first; that lock is taken here.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

import values
from errors import Ambiguous, Conflict, Fault, FieldFault, NotFound
from models import Product
from schemas import rfc3339

MAX_CANDIDATES = 100  # so many are listed where a name is ambiguous

_ID = re.compile(r"[0-9]+")


def is_id(ref: str) -> bool:
    """Whether an address names an id; a handle made of digits is found by the list's filter."""
    return _ID.fullmatch(ref) is not None


def named(ref: str) -> tuple[str, int | str]:
    """The column that a `ref` is about, and the value there. Raises NotFound."""
    if is_id(ref):
        return "id", min(int(ref[:20]), values.MAX_ID)
    try:
        return "handle", values.handle(ref)
    except Fault:  # no product can have such a handle
        raise not_found(ref) from None


def meant(ref: str) -> ColumnElement[bool]:
    """The condition for products with this id or handle, deleted ones too. Raises NotFound."""
    column, value = named(ref)
    return getattr(Product, column) == value  # type: ignore[no-any-return]


def living(ref: str) -> ColumnElement[bool]:
    """The condition for the living product with this id or handle. Raises NotFound."""
    return and_(meant(ref), Product.deleted_at.is_(None))


def not_found(ref: str) -> NotFound:
    """The error for an address at which there is no product."""
    return NotFound(f"There is no product {ref!r}.", code="product_not_found")


def handle_taken(pointer: str = "/handle") -> Conflict:
    """The error for a handle that a living product has."""
    fault = FieldFault("handle_taken", "belongs to another product", pointer)
    return Conflict("The handle is taken.", [fault], code="handle_taken")


def locked(session: Session, ref: str) -> Product:
    """The living product with this id or handle, locked. Raises NotFound."""
    product = locked_or_none(session, living(ref))
    if product is None:
        raise not_found(ref)
    return product


def locked_or_none(session: Session, condition: ColumnElement[bool]) -> Product | None:
    """The product that meets the condition, as it stands once it is locked."""
    statement = select(Product).where(condition).with_for_update()
    return session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()


def locked_restorable(session: Session, ref: str) -> Product:
    """The product to restore, locked: by its id, or by a handle that one deleted product has.

    It may be living already. Raises NotFound; Ambiguous for several deleted products, Conflict if
    the handle is a living product's by now.
    """
    product_id = Product.id == _restorable(session, ref) if not is_id(ref) else meant(ref)
    product = locked_or_none(session, product_id)
    if product is None:
        raise not_found(ref)
    return product


def _restorable(session: Session, handle: str) -> int:
    deleted_at, same = Product.deleted_at, meant(handle)
    rows: Sequence[Any] = session.execute(
        select(Product.id, Product.name, deleted_at)
        # Not in one condition: there is an index for each of the two.
        .where(or_(and_(same, deleted_at.is_(None)), and_(same, deleted_at.is_not(None))))
        .order_by(Product.id)
    ).all()
    deleted = [row for row in rows if row.deleted_at is not None]
    if not rows:
        raise not_found(handle)
    if deleted and len(deleted) < len(rows):
        raise handle_taken()
    if len(deleted) > 1:
        raise _ambiguous_handle(deleted)
    found: int = rows[0].id
    return found


def _ambiguous_handle(rows: Sequence[Any]) -> Ambiguous:
    candidates = [
        {"product_id": row.id, "name": row.name, "deleted_at": rfc3339(row.deleted_at)}
        for row in rows[-MAX_CANDIDATES:]
    ]
    detail = f"{len(rows)} deleted products had this handle: restore one by its id."
    return Ambiguous(detail, candidates, code="ambiguous_handle")
