"""`/api/v1/stock`: set right by hand, and how it came to be what it is."""

from functools import partial

from flask import Blueprint
from flask.typing import ResponseReturnValue

import values
from api import pages
from api.inputs import CURSOR, LIMIT, by_rule, choice, times
from api.operations import Answer, Body, operation
from catalog import adjustments
from errors import Ambiguous, Conflict
from models import STOCK_REASONS, JSONObject, db
from schemas import AdjustedSchema, AdjustmentsSchema, StockMovementSchema

blueprint = Blueprint("stock", __name__)

_FILTERS = (
    by_rule(
        "variant_id",
        values.row_id,
        "Only movements of the variant with this id, even if it is gone.",
    ),
    by_rule(
        "sku",
        values.label,
        "Only movements of variants that carry this SKU now.",
    ),
    choice("reason", STOCK_REASONS, "Only movements for this reason."),
    by_rule(
        "reference",
        values.label,
        "Only movements of this order, of this job, or for this cause.",
    ),
    *times("created_at", "movements"),
)
_ADJUSTED: JSONObject = {
    "title": "AdjustedStock",
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": AdjustedSchema}},
}


@blueprint.post("/adjustments")
@operation(
    "products:write",
    body=Body(AdjustmentsSchema),
    answers={200: Answer("All are made.", _ADJUSTED)},
    raises=(Ambiguous, Conflict),
)
def adjust_stock(sent: JSONObject) -> ResponseReturnValue:
    """Change the stock of up to 500 variants, all or none.

    Each by `delta`, or to what `set` says; with `expected` only if that is the stock by then.
    Otherwise the answer is 409 (`stale_stock`), and its `errors` tell the `current` stock.
    """
    return {"data": AdjustedSchema(many=True).dump(adjustments.adjust(db.session(), sent))}


@blueprint.get("/movements")
@operation(
    "products:read",
    query=(LIMIT, CURSOR, *_FILTERS),
    answers={200: Answer("A page of movements.", pages.of(StockMovementSchema), headers=("Link",))},
)
def list_movements(query: JSONObject) -> ResponseReturnValue:
    """List every change of stock, the newest first.

    The `delta` of all movements of a variant together is its stock. `reference` is the order's id
    (`order`, `cancellation`), the job's (`import`), or what an adjustment was made for.
    """
    read = partial(adjustments.page, query)
    return pages.listed("movements", query, read, StockMovementSchema(many=True).dump)
