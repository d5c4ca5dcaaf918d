"""Orders as they are read: one by its id, many by filters."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, cast, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from errors import NotFound
from models import Order, OrderLine
from orders import tokens
from reads import Filters, bounds, passing, read, read_page

_SHOWN = ("product_id", "variant_id", "sku", "name", "options", "quantity")
_MONEY = ("unit_price", "total")  # as text: a number of JSON is read as a float


def _lines() -> ColumnElement[Any]:
    columns = OrderLine.__table__.columns
    pairs: list[Any] = [part for name in _SHOWN for part in (name, columns[name])]
    pairs += [part for name in _MONEY for part in (name, cast(columns[name], Text))]
    in_order = aggregate_order_by(func.json_build_object(*pairs), OrderLine.position)
    return (
        select(func.json_agg(in_order))
        .where(OrderLine.order_id == Order.id)
        .scalar_subquery()
        .label("lines")
    )


def _orders() -> Select[Any]:
    return select(Order.__table__, _lines())


def find(order_id: str, session: Session | None = None) -> Row[Any]:
    """The order with this public id, with its lines; in the session's transaction, if there is one.

    Raises NotFound.
    """
    statement = _orders().where(Order.public_id == order_id)
    rows = read(statement, session=session) if tokens.is_id(order_id) else ()
    if not rows:
        raise not_found(order_id)
    return rows[0]


def not_found(order_id: str) -> NotFound:
    """The error for an id that no order has."""
    return NotFound(f"There is no order {order_id!r}.", code="order_not_found")


# What orders are listed by, under the names of the API's parameters.
FILTERS: Filters = {
    "email": lambda email: func.lower(Order.email) == email.lower(),
    "status": lambda status: Order.status == status,
    **bounds("created_at", Order.created_at),
}


def page(
    sent: Mapping[str, Any],
    limit: int,
    after: Sequence[int] | None = None,
    *,
    backwards: bool = False,
) -> Sequence[Row[Any]]:
    """Up to `limit` orders that pass the filters in `sent`, the newest first, after (the row's id).

    `backwards`: before it, the nearest first.
    """
    statement = _orders().where(*passing(FILTERS, sent))
    return read_page(statement, (Order.id,), limit, after, backwards=not backwards)
