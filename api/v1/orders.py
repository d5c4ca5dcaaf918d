"""`/api/v1/orders`: somebody buys."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

import values
from api import auth, pages
from api.inputs import CURSOR, LIMIT, by_rule, choice, times
from api.operations import Answer, Body, operation
from errors import Ambiguous, Conflict, NotFound
from models import ORDER_STATUSES, JSONObject, db
from notify import confirmations
from notify.tasks import confirm_order
from orders import canceling, listing, placing, tokens
from schemas import ConfirmationSchema, NewOrderSchema, OrderSchema

blueprint = Blueprint("orders", __name__)

_FILTERS = (
    by_rule(
        "email",
        values.email,
        "Only orders with this address, in whatever case it was sent.",
    ),
    choice("status", ORDER_STATUSES, "Only orders with this status."),
    *times("created_at", "orders"),
)
_TOKEN = by_rule(
    "token",
    values.label,
    "The order's own token, instead of a key: it was answered when the order was placed.",
)
_NO_STORE = {"Cache-Control": "no-store"}  # an address, and names what somebody has bought


@blueprint.post("")
@operation(
    "orders:write",
    body=Body(OrderSchema),
    answers={201: Answer("The order placed.", NewOrderSchema, headers=("Location",))},
    raises=(Conflict, Ambiguous),
    needs_idempotency_key=True,
)
def place_order(sent: JSONObject) -> ResponseReturnValue:
    """Place an order: sell all of its lines at the prices of this moment, or nothing.

    What is sold is taken from the stock with the order, and never more than there is, unless a
    variant has `backorder`. Otherwise the answer is 409 (`insufficient_stock`), and its `errors`
    name every line that the stock does not suffice for, with how many pieces are `available`. A
    request that is sent again with its Idempotency-Key buys nothing twice.
    """
    placed = placing.place(db.session(), sent)
    shown = _confirmed(placed.order)
    url = url_for(".get_order", order_id=placed.order["id"], _external=True)
    return {**shown, "token": placed.token}, 201, {"Location": url, **_NO_STORE}


@blueprint.get("")
@operation(
    "orders:read",
    query=(LIMIT, CURSOR, *_FILTERS),
    answers={200: Answer("A page of orders.", pages.of(OrderSchema), headers=("Link",))},
)
def list_orders(query: JSONObject) -> ResponseReturnValue:
    """List orders, the newest first."""
    return pages.listed("orders", query, partial(listing.page, query), _shown)


@blueprint.get("/<order_id>")
@operation(
    "orders:read",
    query=(_TOKEN,),
    answers={200: Answer("The order.", OrderSchema)},
    raises=(NotFound,),
    opened_by=_TOKEN,
)
def get_order(order_id: str, query: JSONObject) -> ResponseReturnValue:
    """Read one order, with a key or with the order's own `token`.

    To who has neither of them for this order, there is none.
    """
    if not auth.may("orders:read") and not tokens.opens(query["token"], order_id):
        raise listing.not_found(order_id)
    return _shown([listing.find(order_id)])[0], 200, _NO_STORE


@blueprint.post("/<order_id>/cancel")
@operation(
    "orders:write",
    answers={200: Answer("The order, canceled.", OrderSchema)},
    raises=(NotFound, Conflict),
)
def cancel_order(order_id: str) -> ResponseReturnValue:
    """Cancel an order, and put back what it has taken from the stock.

    Once: an order that is canceled already is answered by 409 (`order_canceled`).
    """
    session = db.session()
    return _shown([canceling.cancel(session, order_id)], session)[0]


@blueprint.post("/<order_id>/resend-confirmation")
@operation(
    "orders:write",
    answers={202: Answer("The order.", OrderSchema)},
    raises=(NotFound, Conflict),
)
def resend_confirmation(order_id: str) -> ResponseReturnValue:
    """Send the mail that confirms an order once more, or at last where it has failed."""
    order = listing.find(order_id, db.session())
    if order.status == "canceled":
        raise Conflict("The order has been canceled.", code="order_canceled")
    return _confirmed(OrderSchema().dump(order)), 202, _NO_STORE


def _confirmed(order: JSONObject) -> JSONObject:
    """Have the order confirmed by mail, in its transaction; the order as it is shown then."""
    token = tokens.token_of(order["id"])
    link = url_for(".get_order", order_id=order["id"], token=token, _external=True)
    confirmations.enqueue(db.session(), confirm_order, order, link)
    return {**order, "confirmation": {"status": "queued", "reason": None, "sent_at": None}}


def _shown(orders: Sequence[Any], session: Session | None = None) -> list[JSONObject]:
    """Orders as their owners see them, each with what has become of its confirmation."""
    states = confirmations.states([order.public_id for order in orders], session)
    dump = ConfirmationSchema().dump
    return [
        {
            **OrderSchema().dump(order),
            "confirmation": dump(states[order.public_id]) if order.public_id in states else None,
        }
        for order in orders
    ]
