"""`/api/v1/products/batch`: hundreds of products in one request."""

import json
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, url_for
from flask.typing import ResponseReturnValue

from api import conditional
from api.inputs import JSON
from api.operations import Answer, Body, operation
from api.problems import problem_of
from catalog import batches
from catalog.batches import Outcome, Written
from config import settings
from errors import Conflict, TooLarge
from models import JSONObject, db
from schemas import BatchSchema, ProductSchema

blueprint = Blueprint("batch", __name__)


def _object(title: str, **properties: Any) -> JSONObject:
    numbers = {
        "index": {"type": "integer", "examples": [0]},
        "status": {"type": "integer", "examples": [200]},
    }
    known = numbers | properties
    return {"title": title, "type": "object", "required": list(known), "properties": known}


def _outcomes(title: str, item: JSONObject) -> JSONObject:
    data = {"type": "array", "items": item}
    return {"title": title, "type": "object", "required": ["data"], "properties": {"data": data}}


_STORED = _object(
    "StoredItem",
    location={
        "type": "string",
        "format": "uri",
        "examples": ["https://shop.example/api/v1/products/17"],
    },
    etag={"type": "string", "examples": ['"1.17.9f8e7d6c"']},
    product=ProductSchema,
)
_REFUSED = _object("RefusedItem", problem={"$ref": "#/components/schemas/Problem"})


@blueprint.post("")
@operation(
    "products:write",
    body=Body(BatchSchema, max_bytes=8 * settings.max_body_bytes),
    answers={
        200: Answer("All are stored (`atomic`).", _outcomes("StoredBatch", _STORED)),
        207: Answer(
            "Each has its own status (`partial`).",
            _outcomes("PartialBatch", {"anyOf": [_STORED, _REFUSED]}),
        ),
    },
    raises=(Conflict, TooLarge),
)
def write_batch(sent: JSONObject) -> ResponseReturnValue:
    """Create or change up to 500 products at once.

    An item means the product with its `id`, else its `handle`, else the one that has a variant
    with its top-level `sku`, and is a merge patch of it; without such a product it is a new one.
    `atomic` stores all or nothing, and answers 422 with the faults of every item; `partial`
    stores what it can. The same product twice is refused.
    """
    batch = BatchSchema().load(sent)
    is_atomic = batch["mode"] == "atomic"
    outcomes = batches.write(db.session(), batch["products"], atomic=is_atomic)
    data = ",".join(_item(index, outcome) for index, outcome in enumerate(outcomes))
    status = HTTPStatus.OK if is_atomic else HTTPStatus.MULTI_STATUS
    return Response(f'{{"data":[{data}]}}', status, content_type=JSON)


def _item(index: int, outcome: Outcome) -> str:
    if not isinstance(outcome, Written):
        refused = {"index": index, "status": outcome.status, "problem": problem_of(outcome)}
        return json.dumps(refused)
    product = outcome.document
    tag = conditional.tag(product.id, product.version, product.document_shape)
    head = {
        "index": index,
        "status": 201 if outcome.is_new else 200,
        "location": url_for("products.get_product", ref=product.id, _external=True),
        "etag": conditional.etag(tag)[1],
    }
    return f'{json.dumps(head)[:-1]},"product":{product.document}}}'
