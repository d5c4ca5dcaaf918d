"""Pages of a list: signed keyset cursors in both directions, and the envelope around the rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import Schema

from api import conditional
from api.inputs import JSON
from errors import BadRequest, FieldFault
from models import JSONObject

Row = TypeVar("Row")
Key = Sequence[Any]  # what a row is sorted by, as JSON values


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: after the row with `key`, or, `backwards`, before it.

    Without a key, at the list's beginning.
    """

    key: Key | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of a page in the list's order, and where its neighbours begin."""

    rows: Sequence[Row]
    next: Position | None
    prev: Position | None


def position(kind: str, sealed: str | None) -> Position:
    """The position in the parameter `cursor`, as `respond` sealed it for the same `kind`.

    Raises BadRequest for a cursor that this server did not make, or made for another list.
    """
    if sealed is None:
        return Position()
    try:
        backwards, *key = _sealer(current_app.config["SECRET_KEY"], kind).loads(sealed)
    except BadData:
        fault = FieldFault("invalid_cursor", "is not a cursor of this list", parameter="cursor")
        detail = "The cursor is not one of this list: start again without it."
        raise BadRequest(detail, [fault], code="invalid_cursor") from None
    return Position(key, bool(backwards))


def cut(found: Sequence[Row], limit: int, start: Position, key: Callable[[Row], Key]) -> Page[Row]:
    """The page of up to `limit` rows that begins at `start`.

    `found` holds one row more than `limit`, if there is one, in the direction of reading: so
    it shows whether the list goes on. Where the page came from, there are rows as well.
    """
    goes_on, came_from = len(found) > limit, start.key is not None and bool(found)
    rows = found[:limit]
    if start.backwards:
        rows = rows[::-1]
    has_next, has_prev = (came_from, goes_on) if start.backwards else (goes_on, came_from)
    return Page(
        rows,
        next=Position(key(rows[-1])) if has_next else None,
        prev=Position(key(rows[0]), backwards=True) if has_prev else None,
    )


def of(item: type[Schema]) -> JSONObject:
    """The JSON Schema of a page of such items; the schema class stands in for its own."""
    url = {"type": ["string", "null"], "format": "uri"}
    return {
        "title": f"{item.__name__.removesuffix('Schema')}Page",
        "type": "object",
        "required": ["data", "next", "prev"],
        "properties": {"data": {"type": "array", "items": item}, "next": url, "prev": url},
    }


def respond(
    kind: str,
    page: Page[Any],
    documents: Sequence[str],
    versions: Sequence[Any] | None = None,
    **extra: Any,
) -> Response:
    """`{"data": [...], "next": url or null, "prev": …}` of rendered JSON, and a Link header.

    `versions` tell the rows' state, where they have one: then the page has an ETag, and is
    answered by 304 where the client holds it already.
    """
    urls = {"next": _url(kind, page.next), "prev": _url(kind, page.prev)}
    around = json.dumps(urls | extra)
    tag = None
    if versions is not None:
        tag = blake2b(repr((versions, around)).encode(), digest_size=12).hexdigest()
        if same := conditional.not_modified(tag):
            return same
    response = Response(f'{{"data":[{",".join(documents)}],{around[1:]}', content_type=JSON)
    if links := [f'<{url}>; rel="{rel}"' for rel, url in urls.items() if url]:
        response.headers["Link"] = ", ".join(links)
    if tag is not None:
        response.set_etag(tag)
    return response


def _url(kind: str, start: Position | None) -> str | None:
    if start is None or start.key is None:
        return None
    sealed = _sealer(current_app.config["SECRET_KEY"], kind).dumps(
        [int(start.backwards), *start.key]
    )
    query = urlencode({**request.args, "cursor": sealed})
    # Not `base_url`, which decodes the address only for it to be encoded again.
    return f"{request.scheme}://{request.host}{quote(request.path)}?{query}"


@lru_cache(maxsize=256)
def _sealer(secret: str, kind: str) -> URLSafeSerializer:
    # Signed, so that nobody comes to depend on what is inside; the salt ties it to one list.
    return URLSafeSerializer(secret, salt=f"cursor.{kind}")
