"""What the documentation says in words: of the whole, of tags, variables, headers and fields."""

from collections.abc import Mapping

from marshmallow import Schema

import values
from models import JSONObject
from schemas import (
    AdjustedSchema,
    AdjustmentSchema,
    AdjustmentsSchema,
    BatchItemSchema,
    BatchSchema,
    ConfirmationSchema,
    DeliverySchema,
    EventSchema,
    ImageSchema,
    JobErrorSchema,
    JobSchema,
    KeySchema,
    NamesVariant,
    NewKeySchema,
    NewOrderSchema,
    NewWebhookSchema,
    OrderLineSchema,
    OrderSchema,
    ProductSchema,
    ReplaySchema,
    SkuVariantSchema,
    StockMovementSchema,
    VariantFields,
    VariantSchema,
    WebhookSchema,
)

INFO: JSONObject = {
    "title": "Pushcart",
    "version": "1.0.0",
    "summary": "A shop's product catalogue behind one HTTP API.",
    "description": """\
JSON objects in, JSON objects out; times in UTC (RFC 3339); money as a decimal string of the shop's
currency. Anyone reads active products; everything else needs a key, sent as
`Authorization: Bearer …`.

**Lists** come in pages: follow `next` until it is null.

**Errors** are `application/problem+json` (RFC 9457): `code` is stable, `detail` is for people, and
`errors` names each wrong field (`pointer`) or `parameter`. An unknown parameter is a 400, an
unknown field a 422. An address that does not exist is a 404 (`not_found`), a method that it does
not know a 405 (`method_not_allowed`) with `Allow`.

**HEAD** is answered wherever GET is, **OPTIONS** everywhere, with `Allow`.""",
    "license": {"name": "MIT", "identifier": "MIT"},
    "contact": {"name": "The Pushcart founders"},
}

TAGS: Mapping[str, str] = {
    "products": "What the shop sells: each product with its variants, prices and stock.",
    "batch": "Hundreds of products in one request.",
    "variants": "Price and stock, for those who know only the SKU.",
    "imports": "Catalogue files: one goes in, a job comes out.",
    "exports": "Products as catalogue files: a selection goes in, a job comes out.",
    "orders": "What has been bought, at the prices of then, out of a stock that is never oversold.",
    "stock": "Stock set right by hand, and the ledger of all its changes.",
    "keys": "Who may do what: keys with their scopes, made, listed and revoked.",
    "jobs": "Work in the background, with live progress and a report of what was refused.",
    "events": "What has happened, in one order and without gaps, for those who keep a copy.",
    "webhooks": "Addresses that are told of events, signed as Standard Webhooks says.",
    "health": "For those who run it.",
    "status": "For those who run it, with a key: queue, workers, servers and counts.",
    "docs": "This document.",
}

VARIABLES: Mapping[str, JSONObject] = {
    "ref": {
        "schema": dict(values.SHAPES[values.handle]),
        "description": "The product's id, or its handle unless that is made of digits alone.",
        "example": "corner-blend",
    },
    "sku": {
        "schema": {"type": "string", "pattern": "^[^/]"},
        "description": "The variant's SKU; slashes in it may stand as they are.",
        "example": "COF-CB-250-B",
    },
    "job_id": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "The job's id.",
        "example": 7,
    },
    "webhook_id": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "The webhook's id.",
        "example": 2,
    },
    "delivery_id": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "The delivery's id.",
        "example": 93,
    },
    "order_id": {
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "description": "The order's id.",
        "example": "0f8e7d6c5b4a39281706f5e4d3c2b1a0",
    },
    "key_id": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "The key's id; not the key itself.",
        "example": 3,
    },
}

_TAG = '(W/)?"[!#-~]*"'
# As api/idempotency.py reads them.
_BARE_KEY = "[!#-~]([ -~]{0,253}[!-~])?"
_QUOTED_KEY = r'"([ !#-\[\]-~]|\\["\\]){1,255}"'
REQUEST_HEADERS: Mapping[str, JSONObject] = {
    "X-Request-ID": {
        "schema": {"type": "string"},
        "description": (
            "An id of your own for this request; it is sent back and logged. Anything but"
            " 1 to 128 of `A-Z a-z 0-9 . _ : / + = -` is replaced."
        ),
        "example": "checkout-4711",
    },
    "If-None-Match": {
        "schema": {"type": "string"},
        "description": (
            "An `ETag` from before: if nothing has changed, the answer is 304. On writing, states"
            " in which the product is left alone (412): `*` is every one, so that a PUT creates."
        ),
        "example": '"3.17.9f8e7d6c"',
    },
    "If-Match": {
        "schema": {"type": "string", "pattern": rf"^(\*|{_TAG}(, ?{_TAG})*)$"},
        "description": (
            "The `ETag` of the product as you know it: if it has changed since, the answer is 412"
            " and nothing is written. `*` is any state. With `REQUIRE_IF_MATCH` a change without"
            " it is answered by 428."
        ),
        "example": '"3.17.9f8e7d6c"',
    },
    "Range": {
        "schema": {"type": "string"},
        "description": "The part to send, in bytes from 0 on; several parts are sent as a whole.",
        "example": "bytes=1048576-",
    },
    "If-Range": {
        "schema": {"type": "string"},
        "description": "The `ETag` of what is held already: of another file all is sent.",
        "example": '"12.4711"',
    },
    "Idempotency-Key": {
        "schema": {"type": "string", "pattern": f"^({_BARE_KEY}|{_QUOTED_KEY})$"},
        "description": (
            "A name of your own for what this request is to do, bare or in quotes: sent again"
            " with the same name within 24 hours, it takes effect once and gets the first answer."
        ),
        "example": "6f1e4f0e-order-4711",
    },
}

ANSWER_HEADERS: Mapping[str, JSONObject] = {
    "X-Request-ID": {
        "required": True,
        "schema": {"type": "string"},
        "description": "Names this request in the logs.",
        "example": "checkout-4711",
    },
    "ETag": {
        "required": True,
        "schema": {"type": "string", "pattern": '^(W/)?".+"$'},
        "description": "The version that is shown, for `If-None-Match` and `If-Match`.",
        "example": '"3.17.9f8e7d6c"',
    },
    "Accept-Ranges": {
        "required": True,
        "schema": {"type": "string", "const": "bytes"},
        "description": "Parts of it may be asked for, with `Range`.",
        "example": "bytes",
    },
    "Content-Range": {
        "required": True,
        "schema": {"type": "string"},
        "description": "Which bytes these are, and how many there are.",
        "example": "bytes 1048576-1048580/1048581",
    },
    "Content-Disposition": {
        "required": True,
        "schema": {"type": "string"},
        "description": "A name for the file.",
        "example": "attachment; filename=products.csv",
    },
    "Location": {
        "required": True,
        "schema": {"type": "string", "format": "uri"},
        "description": "The address of what has been made.",
        "example": "https://shop.example/api/v1/products/17",
    },
    "Link": {
        "schema": {"type": "string"},
        "description": "The neighbouring pages (RFC 8288), as `next` and `prev` in the body.",
        "example": '<https://shop.example/api/v1/products?cursor=WzI1XQ>; rel="next"',
    },
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Seconds until it is worth asking again.",
        "example": 1,
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "Who is counted, how many requests are left, and seconds until all are.",
        "example": '"key";r=5997;t=42',
    },
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": "How many requests fit into a window of how many seconds.",
        "example": '"key";q=6000;w=60',
    },
    "Idempotent-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "This is the first answer to this Idempotency-Key once more.",
        "example": "true",
    },
    "WWW-Authenticate": {
        "required": True,
        "schema": {"type": "string"},
        "description": "How to send a key.",
        "example": 'Bearer realm="pushcart"',
    },
}

_VARIANT = {
    "sku": "Your own number for it; several variants may share one.",
    "price": "In the shop's currency.",
    "compare_at_price": "The price that is crossed out beside it.",
    "barcode": "EAN, UPC, ISBN, as printed.",
    "weight_grams": "To the milligram.",
    "stock": "Pieces at hand, negative when oversold; null: not tracked.",
    "backorder": "Whether it may be sold beyond its stock.",
}
FIELDS: Mapping[type[Schema], Mapping[str, str]] = {
    ProductSchema: {
        "handle": "Unique among living products; derived from the name unless given.",
        "description": "HTML, as it was given.",
        "category": "A path, such as `Apparel > Shirts`.",
        "tags": "Repeats are dropped.",
        "options": "The names of what variants differ in, in their order.",
        "metadata": "Anything of your own.",
        "variants": "What is in the basket; a product has at least one.",
        "version": "Grows by one with each change.",
    },
    BatchSchema: {
        "mode": "`atomic` stores all or nothing, `partial` what it can.",
        "products": "Each product once.",
    },
    BatchItemSchema: {
        "id": "Means the product with this id.",
        "handle": "Without an id, means the product with this handle, or a new one.",
        "sku": "Without id and handle, means the product with this variant, or a new one.",
        "name": "A new product needs one.",
    },
    SkuVariantSchema: {"product_id": "The product that it belongs to.", **_VARIANT},
    VariantFields: _VARIANT,
    VariantSchema: {"options": 'Tells it from its siblings: `{"Size": "M"}`.', **_VARIANT},
    ImageSchema: {"url": "An absolute http or https address.", "alt": "Says what it shows."},
    JobSchema: {
        "ready": "Whether it has come to its end.",
        "progress": (
            "`total`, `processed` and `failed` count the file's rows; `created`, `updated` and"
            " `unchanged` its products."
        ),
        "eta_seconds": "At the present rate, until the end; null while that is unknown.",
        "attempts": "How often a worker has begun it.",
        "error": "Why it failed.",
        "links": "`result`, `cancel` and `retry` where there is something to get or to do.",
    },
    EventSchema: {
        "id": "Never given twice.",
        "data": "What has changed: its id, and some of how it stood after that.",
    },
    WebhookSchema: {
        "url": "Where to send. Private and loopback addresses are refused, redirects not followed.",
        "types": "What it is told of; none: of everything.",
        "disabled_because": "`gone`: it answered 410; `failing`: it took nothing for three days.",
        "failures": "How many attempts in a row have failed.",
        "paused_until": "No attempt is made before.",
    },
    NewWebhookSchema: {"secret": "Signs what is sent: shown this once."},
    DeliverySchema: {
        "due_at": "When the next attempt may be made, if it is pending.",
        "response_status": "Of the last attempt; null: there was no answer.",
        "response": "How the last answer began.",
        "error": "Why the last attempt failed.",
    },
    ReplaySchema: {"event_id": "The first event to be told of again."},
    KeySchema: {
        "prefix": "What the key begins with, to tell it from others.",
        "created_by": "The id of the key that made it; null: made in the shell.",
        "expires_at": "Null: it lives until it is revoked.",
    },
    NamesVariant: {
        "variant_id": "The variant's id. On sending, this or `sku`.",
        "sku": "The variant's SKU. On sending, this or `variant_id`.",
    },
    OrderLineSchema: {
        "name": "The product's, when the order was placed; so are SKU, options and price.",
        "quantity": "How many pieces.",
        "total": "The price of all pieces.",
    },
    OrderSchema: {
        "id": "Nobody can guess it.",
        "email": "Of whoever buys.",
        "note": "What they have to say.",
        "metadata": "Anything of your own.",
        "total": "Of all lines, in `currency`.",
        "confirmation": "The mail that confirms it; null for orders from before there was one.",
    },
    ConfirmationSchema: {"reason": "Why it has failed, or is not sent yet."},
    NewOrderSchema: {"token": "Shows the order without a key: `/api/v1/orders/{id}?token=…`."},
    AdjustmentSchema: {
        "delta": "How many pieces come, or, below zero, go. This or `set`.",
        "set": "How many pieces there are; null: not tracked any more. This or `delta`.",
        "expected": "What the stock is thought to be: where it is not, nothing is changed.",
        "reason": "Why, in your own words: the `reference` of the movement.",
    },
    AdjustmentsSchema: {"adjustments": "Each variant once."},
    AdjustedSchema: {"delta": "By how much the stock has changed.", "stock": "As it is now."},
    StockMovementSchema: {
        "sku": "As the variant has it now; null too where the variant is gone.",
        "delta": "By how much the stock has changed; from and to null it counts as 0.",
        "stock_after": "What it was then; null: not tracked any more.",
        "reason": "`edit`: somebody wrote the product. `opening`: there when the ledger began.",
        "reference": "The order, the import's job, or what an adjustment was made for.",
    },
    NewKeySchema: {"key": "What goes behind `Bearer`: shown this once, and stored nowhere."},
    JobErrorSchema: {
        "line": "The line in the file; its heading is line 1.",
        "value": "What stood there.",
    },
}
