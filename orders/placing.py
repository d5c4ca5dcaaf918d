"""Placing an order: what is sold is locked, checked, taken from the stock and written down.

Two round trips, whatever the number of lines: one locks and reads all variants with their products,
one writes stock, documents, order and lines.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from catalog import stock
from config import settings
from errors import Conflict, FieldFault, Invalid
from models import JSONObject
from orders import tokens
from schemas import OrderSchema
from values import MAX_STOCK

_SCHEMA = OrderSchema()
_SOLD = ("active",)  # products of this status

_INSERT = """
WITH placed AS (
    INSERT INTO orders (public_id, email, note, metadata, currency, total)
    VALUES (%(public_id)s, %(email)s, %(note)s, %(metadata)s, %(currency)s, %(total)s)
    RETURNING id, created_at
), written AS (
    INSERT INTO order_lines (
        order_id, position, product_id, variant_id, sku, name, options, quantity, unit_price, total
    )
    SELECT placed.id, line.* FROM placed, jsonb_to_recordset(%(lines)s::jsonb) AS line (
        position bigint, product_id bigint, variant_id bigint, sku text, name text, options jsonb,
        quantity bigint, unit_price numeric, total numeric
    )
)
SELECT id, created_at FROM placed
"""


@dataclass(frozen=True, slots=True)
class Placed:
    """A new order: its row's id, its public form, and the token that shows it without a key."""

    id: int
    order: JSONObject
    token: str


def place(session: Session, sent: JSONObject) -> Placed:
    """Sell what a client's JSON asks for, at the prices of this moment, or nothing of it.

    Raises ValidationError; Invalid for each line whose variant is unknown, not for sale or without
    a price; Ambiguous for a SKU that several variants carry; Conflict (`insufficient_stock`) with
    every line that the stock does not suffice for, and if others change what the SKUs mean.
    """
    data = _SCHEMA.load(sent)
    asked = data.pop("lines")
    rows = stock.locked(session, asked, _SOLD, "/lines")
    _check_prices(rows)
    quantities = [line["quantity"] for line in asked]
    wanted = Counter[int]()
    for row, quantity in zip(rows, quantities, strict=True):
        wanted[row.id] += quantity
    _check_stock(rows, wanted)
    lines = [_line(*sold) for sold in zip(count(), rows, quantities, strict=False)]
    order = {
        **data,
        "public_id": tokens.new_id(),
        "currency": settings.currency,
        "total": sum(line["total"] for line in lines),
    }
    tracked = {row.id: row for row in rows if row.stock is not None}
    left = {row.id: row.stock - wanted[row.id] for row in tracked.values()}
    written = session.connection().exec_driver_sql(
        stock.PUT + _INSERT,
        {
            **stock.putting(left, "order", order["public_id"]),
            "products": sorted({row.product_id for row in tracked.values()}),
            **order,
            "metadata": json.dumps(order["metadata"]),
            "lines": json.dumps(lines, default=str),
        },
    )
    row = written.one()
    shown = _SCHEMA.dump(
        {
            **order,
            "status": "confirmed",
            "lines": lines,
            "created_at": row.created_at,
            "updated_at": row.created_at,
            "canceled_at": None,
        }
    )
    return Placed(row.id, shown, tokens.token_of(order["public_id"]))


def _line(position: int, row: Any, quantity: int) -> JSONObject:
    return {
        "position": position,
        "product_id": row.product_id,
        "variant_id": row.id,
        "sku": row.sku,
        "name": row.name,
        "options": row.options,
        "quantity": quantity,
        "unit_price": row.price,
        "total": row.price * quantity,
    }


def _check_prices(rows: Sequence[Any]) -> None:
    faults = [
        FieldFault("no_price", "names a variant without a price", f"/lines/{number}")
        for number, row in enumerate(rows)
        if row.price is None
    ]
    if faults:
        raise Invalid(f"{faults[0].pointer} {faults[0].detail}.", faults)


def _check_stock(rows: Sequence[Any], wanted: Mapping[int, int]) -> None:
    """Refuse all lines of a variant of which they want more together than there is."""
    faults = []
    for number, row in enumerate(rows):
        if row.stock is None:
            continue
        available = max(0, row.stock + MAX_STOCK if row.backorder else row.stock)
        if wanted[row.id] > available:
            detail = f"wants more than the {available} that are left"
            extra = {"available": available}
            faults.append(FieldFault("insufficient_stock", detail, f"/lines/{number}", extra=extra))
    if faults:
        detail = f"The stock does not suffice for {len(faults)} of {len(rows)} lines."
        raise Conflict(detail, faults, code="insufficient_stock")
