"""`/api/v1/orders`: somebody buys."""

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

import values
from api import auth, pages
from api.inputs import CURSOR, LIMIT, Parameter, choice, times
from api.operations import Answer, Body, operation
from errors import Ambiguous, Conflict, NotFound
from models import ORDER_STATUSES, JSONObject, db
from orders import canceling, listing, placing, tokens
from schemas import NewOrderSchema, OrderSchema

blueprint = Blueprint("orders", __name__)

_FILTERS = (
    Parameter(
        "email",
        values.email,
        dict(values.SHAPES[values.email]),
        "Only orders with this address, in whatever case it was sent.",
    ),
    choice("status", ORDER_STATUSES, "Only orders with this status."),
    *times("created_at", "orders"),
)
_TOKEN = Parameter(
    "token",
    values.label,
    {"type": "string", "minLength": 1},
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
    # Still in the order's transaction: what is to follow an order is enqueued here.
    url = url_for(".get_order", order_id=placed.order["id"], _external=True)
    return {**placed.order, "token": placed.token}, 201, {"Location": url, **_NO_STORE}


@blueprint.get("")
@operation(
    "orders:read",
    query=(LIMIT, CURSOR, *_FILTERS),
    answers={200: Answer("A page of orders.", pages.of(OrderSchema), headers=("Link",))},
)
def list_orders(query: JSONObject) -> ResponseReturnValue:
    """List orders, the newest first."""
    start = pages.position("orders", query["cursor"])
    filters = {name: query[name] for name in listing.FILTERS if query[name] is not None}
    found = listing.page(filters, query["limit"] + 1, start.key, backwards=start.backwards)
    page = pages.cut(found, query["limit"], start, lambda row: (row.id,))
    return pages.respond("orders", page, pages.dumped(OrderSchema().dump, page))


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
    return OrderSchema().dump(listing.find(order_id)), 200, _NO_STORE


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
    shown: JSONObject = OrderSchema().dump(canceling.cancel(db.session(), order_id))
    return shown
