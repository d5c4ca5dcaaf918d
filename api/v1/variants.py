"""`/api/v1/variants`: price and stock, for clients that know only the SKU."""

import json

from flask import Blueprint

from api import conditional, patching, selection
from api.inputs import JSON
from api.operations import Answer, Body, Sent, operation
from catalog import documents, variants
from errors import Ambiguous, NotFound, PreconditionFailed, PreconditionRequired
from models import JSONObject, db
from schemas import SkuVariantSchema

blueprint = Blueprint("variants", __name__)
blueprint.after_request(patching.offer)

_VARIANT = Answer("The variant.", SkuVariantSchema, headers=("ETag",))


# A SKU may hold slashes, and two that stand side by side are not one.
@blueprint.get("/<path:sku>", merge_slashes=False)
@operation(
    "products:read",
    visitors=True,
    headers=("If-None-Match",),
    answers={200: _VARIANT, 304: Answer("The client has it already.", headers=("ETag",))},
    raises=(NotFound, Ambiguous),
    express=True,
)
def get_variant(sku: str) -> Sent:
    """Read the variant that has this SKU, and which product it belongs to.

    A SKU that several variants carry is answered by 409, with the `candidates`.
    """
    found = variants.find(sku, selection.visible())
    return conditional.not_modified(_tag(found)) or _respond(found)


@blueprint.patch("/<path:sku>", merge_slashes=False)
@operation(
    "products:write",
    headers=conditional.HEADERS,
    body=Body(SkuVariantSchema, media_types=patching.MEDIA_TYPES),
    answers={200: _VARIANT},
    raises=(NotFound, Ambiguous, PreconditionFailed, PreconditionRequired),
)
def patch_variant(sku: str, sent: JSONObject) -> Sent:
    """Change price, stock and the like by a JSON merge patch (RFC 7396).

    The ETag, and so `If-Match`, is that of the whole product. The SKU and the options are changed
    with the product.
    """
    return _respond(variants.patch(db.session(), sku, sent, conditional.expected()))


def _respond(found: variants.Found) -> Sent:
    body = json.dumps(found.shown, ensure_ascii=False, separators=(",", ":")).encode()
    return Sent(body, 200, [("Content-Type", JSON), conditional.etag(_tag(found))])


def _tag(found: variants.Found) -> str:
    # Made by this release, whichever has rendered the product.
    return conditional.tag(found.product_id, found.version, documents.SHAPE)
