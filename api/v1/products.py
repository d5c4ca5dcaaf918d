"""`/api/v1/products`."""

from functools import partial

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from api import conditional, context, pages, patching, selection
from api.inputs import CURSOR, JSON, LIMIT
from api.operations import Answer, Body, Sent, operation
from api.selection import FIELDS, INCLUDE, SELECTION
from catalog import listing, products
from catalog.products import Stored
from catalog.revisions import Document
from errors import Ambiguous, Conflict, NotFound, PreconditionFailed, PreconditionRequired
from models import JSONObject, db
from schemas import ProductSchema

blueprint = Blueprint("products", __name__)
blueprint.after_request(patching.offer)

_PRODUCT = Answer("The product.", ProductSchema, headers=("ETag",))
_CREATED = Answer("The product created.", ProductSchema, headers=("Location", "ETag"))
_CONDITIONS = (PreconditionFailed, PreconditionRequired)
_PAGE = pages.of(ProductSchema)
_PAGE["properties"] |= {"count": {"type": "integer"}, "count_exact": {"type": "boolean"}}


@blueprint.get("")
@operation(
    "products:read",
    visitors=True,
    query=(LIMIT, CURSOR, *SELECTION, FIELDS, INCLUDE),
    headers=("If-None-Match",),
    answers={
        200: Answer("A page of products.", _PAGE, headers=("ETag", "Link")),
        304: Answer("The client has this page already.", headers=("ETag",)),
    },
    express=True,
)
def list_products(query: JSONObject) -> Sent:
    """List products, a page at a time."""
    chosen = selection.chosen(query)
    kind = f"products.{chosen.sort or (chosen.q and 'rank')}"
    start = pages.position(kind, query["cursor"])
    read = partial(
        listing.page,
        chosen,
        query["limit"] + 1,
        start.key,
        backwards=start.backwards,
        counted=query["include"] is not None,
    )
    call = context.current()
    address = f"{call.url}?{call.query_string} {chosen.statuses}"
    if same := pages.kept(address, lambda: listing.states(read(documents=False))):
        return same
    found = read()
    page = pages.cut(found, query["limit"], start, listing.key)
    count = selection.counted(chosen, found, start.key) if query["include"] else {}
    shown = selection.only(query["fields"], [row.document for row in page.rows])
    versions = [n for row in page.rows for n in (row.id, row.version, row.document_shape)]
    sent = pages.respond(kind, page, shown, versions, **count)
    return pages.keep(address, listing.states(found), sent)


@blueprint.get("/<ref>")
@operation(
    "products:read",
    visitors=True,
    query=(FIELDS,),
    headers=("If-None-Match",),
    answers={200: _PRODUCT, 304: Answer("The client has it already.", headers=("ETag",))},
    raises=(NotFound,),
    express=True,
)
def get_product(ref: str, query: JSONObject) -> Sent:
    """Read one product by its id or handle."""
    found = products.document(ref, selection.visible())
    tag = conditional.tag(found.id, found.version, found.document_shape)
    return conditional.not_modified(tag) or _respond(found, 200, query["fields"])


@blueprint.post("")
@operation(
    "products:write",
    body=Body(ProductSchema),
    answers={201: _CREATED},
    raises=(Conflict,),
)
def create_product(sent: JSONObject) -> ResponseReturnValue:
    """Create a product; without `variants` it gets one, from the fields of a variant."""
    return _created(products.create(db.session(), sent))


@blueprint.put("/<ref>")
@operation(
    "products:write",
    headers=conditional.HEADERS,
    body=Body(ProductSchema),
    answers={200: _PRODUCT, 201: _CREATED},
    raises=(NotFound, Conflict, *_CONDITIONS),
)
def put_product(ref: str, sent: JSONObject) -> ResponseReturnValue:
    """Replace a product as a whole, or create it under a handle that is free.

    What is absent falls back to its default. An entry of `variants` replaces the variant that it
    means by `id`, by `options` or by `sku`, and variants that no entry means are removed. What a
    GET has returned can be sent back: `version`, `created_at` and `updated_at` count for nothing,
    and an `id` must be the product's own. `If-None-Match: *` creates only.
    """
    written, is_new = products.put(db.session(), ref, sent, conditional.expected())
    return _created(written) if is_new else _respond(written, 200)


@blueprint.patch("/<ref>")
@operation(
    "products:write",
    headers=conditional.HEADERS,
    body=Body(ProductSchema, media_types=patching.MEDIA_TYPES),
    answers={200: _PRODUCT},
    raises=(NotFound, Conflict, Ambiguous, *_CONDITIONS),
)
def patch_product(ref: str, sent: JSONObject) -> ResponseReturnValue:
    """Change a product by a JSON merge patch (RFC 7396).

    An entry of `variants` is merged into the variant that it names by `id`, by `sku` or by
    `options`; any other is added, and none is removed. What the server gives may be repeated as
    it stands, so that a GET's answer can be changed and sent back.
    """
    return _respond(products.patch(db.session(), ref, sent, conditional.expected()), 200)


@blueprint.delete("/<ref>")
@operation(
    "products:write",
    headers=conditional.HEADERS,
    answers={204: Answer("It is hidden now.")},
    raises=(NotFound, *_CONDITIONS),
)
def delete_product(ref: str) -> ResponseReturnValue:
    """Hide a product; its handle becomes free."""
    products.delete(db.session(), ref, conditional.expected())
    return "", 204


@blueprint.post("/<ref>/restore")
@operation(
    "products:write",
    answers={200: _PRODUCT},
    raises=(NotFound, Conflict, Ambiguous),
)
def restore_product(ref: str) -> ResponseReturnValue:
    """Undo the deletion of a product; one that lives stays as it is.

    A handle means the one deleted product that had it. If several had it, the answer is 409 with
    the `candidates`, and if a living product has it now, 409 too.
    """
    return _respond(products.restore(db.session(), ref), 200)


def _created(written: Document) -> Sent:
    created = _respond(written, 201)
    created.headers.append(("Location", url_for(".get_product", ref=written.id, _external=True)))
    return created


def _respond(found: Document | Stored, status: int, fields: frozenset[str] | None = None) -> Sent:
    tag = conditional.tag(found.id, found.version, found.document_shape)
    headers = [("Content-Type", JSON), conditional.etag(tag)]
    document = found.document if isinstance(found.document, bytes) else found.document.encode()
    (shown,) = selection.only(fields, [document])
    return Sent(shown, status, headers)
