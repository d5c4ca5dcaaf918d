"""Canceling an order: what it has taken from the stock goes back, once."""

from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from catalog import stock
from errors import Conflict
from models import Order, StockMovement
from orders import listing, tokens
from values import MAX_STOCK


def cancel(session: Session, order_id: str) -> Row[Any]:
    """Cancel an order, and put back what its movements say that it took; returns it as it stands.

    Nothing goes back to a variant that was not tracked then, is not tracked now, or is gone.
    Raises NotFound; Conflict (`order_canceled`) for an order that is canceled already.
    """
    if not tokens.is_id(order_id):
        raise listing.not_found(order_id)
    changed = session.execute(
        update(Order)
        .where(Order.public_id == order_id, Order.status == "confirmed")
        .values(status="canceled", canceled_at=func.now(), updated_at=func.now())
    )
    order = listing.find(order_id, session)
    if not changed.rowcount:  # type: ignore[attr-defined]  # of an UPDATE
        raise Conflict("The order has been canceled already.", code="order_canceled")
    taken = _taken(session, order_id)
    rows = [row for row in stock.locked_by_id(session, taken) if row.stock is not None]
    new = {row.id: min(row.stock + taken[row.id], MAX_STOCK) for row in rows}
    if rows:
        stock.put_alone(session, stock.putting(new, "cancellation", order_id))
        stock.count_up(session, [row.product_id for row in rows])
    return order


def _taken(session: Session, order_id: str) -> dict[int, int]:
    """How many pieces of each variant the order took."""
    moved = (
        select(StockMovement.variant_id, -func.sum(StockMovement.delta))
        .where(StockMovement.reason == "order", StockMovement.reference == order_id)
        .group_by(StockMovement.variant_id)
    )
    return {variant_id: int(pieces) for variant_id, pieces in session.execute(moved)}
