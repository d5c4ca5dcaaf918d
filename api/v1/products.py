"""`/api/v1/products`."""

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

import values
from api import auth, inputs, pages
from catalog import products
from config import settings
from models import PRODUCT_STATUSES, db

blueprint = Blueprint("products", __name__)


@blueprint.get("")
def list_products() -> ResponseReturnValue:
    """A page of products by id; `status` and `handle` narrow it down."""
    everything = _reads_everything()
    inputs.known_parameters("limit", "cursor", "status", "handle")
    limit = inputs.limit()
    rows = products.page(
        after_id=(pages.cursor("products") or [0])[0],
        limit=limit + 1,
        statuses=_statuses(everything),
        handle=inputs.value("handle", values.handle),
    )
    more = [rows[limit - 1].id] if len(rows) > limit else None
    return pages.page("products", [row.document for row in rows[:limit]], more)


@blueprint.get("/<ref>")
def get_product(ref: str) -> ResponseReturnValue:
    """One product by its id or handle."""
    everything = _reads_everything()
    inputs.known_parameters()
    found = products.document(ref, _statuses(everything))
    return _respond(found, 200).make_conditional(request)


@blueprint.post("")
def create_product() -> ResponseReturnValue:
    """Create a product; without `variants` it gets one, from the fields of a variant."""
    auth.authorize("products:write")
    inputs.known_parameters()
    created = products.create(db.session(), inputs.json_object())
    db.session.commit()
    location = url_for(".get_product", ref=created.id, _external=True)
    response = _respond(created, 201)
    response.headers["Location"] = location
    return response


@blueprint.patch("/<ref>")
def patch_product(ref: str) -> ResponseReturnValue:
    """Change a product by a JSON merge patch (RFC 7396)."""
    auth.authorize("products:write")
    inputs.known_parameters()
    patch = inputs.json_object(inputs.MERGE_PATCH, "application/json")
    changed = products.patch(db.session(), ref, patch)
    db.session.commit()
    return _respond(changed, 200)


@blueprint.delete("/<ref>")
def delete_product(ref: str) -> ResponseReturnValue:
    """Hide a product; its handle becomes free."""
    auth.authorize("products:write")
    inputs.known_parameters()
    products.delete(db.session(), ref)
    db.session.commit()
    return "", 204


def _reads_everything() -> bool:
    """Whether drafts and archived products are visible. Raises Unauthorized, Forbidden."""
    if not settings.public_reads:
        auth.authorize("products:read")
    return auth.may("products:read")


def _statuses(everything: bool) -> tuple[str, ...]:
    visible = PRODUCT_STATUSES if everything else ("active",)
    asked = inputs.choice("status", PRODUCT_STATUSES)
    return tuple(status for status in visible if asked in (None, status))


def _respond(found: products.Document, status: int) -> Response:
    response = Response(found.document, status, content_type="application/json")
    # A new release may render the same version of a product in another shape.
    response.set_etag(f"{found.version}.{found.document_shape & 0xFFFFFFFF:x}")
    return response
