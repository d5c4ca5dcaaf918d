"""Pages of a list: signed keyset cursors, and the envelope around the rows."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeSerializer

from errors import BadRequest, FieldFault


def cursor(kind: str) -> list[Any] | None:
    """The position in the request's `cursor`, if any, as `page` sealed it for the same `kind`.

    Raises BadRequest for a cursor that this server did not make, or made for another list.
    """
    sealed = request.args.get("cursor")
    if sealed is None:
        return None
    try:
        position: list[Any] = _sealer(kind).loads(sealed)
    except BadData:
        fault = FieldFault("invalid_cursor", "is not a cursor of this list", parameter="cursor")
        detail = "The cursor is not one of this list: start again without it."
        raise BadRequest(detail, [fault], code="invalid_cursor") from None
    return position


def page(kind: str, documents: Sequence[str], next_position: Sequence[Any] | None) -> Response:
    """`{"data": [...], "next": url or null}` of rendered JSON documents, and a Link header."""
    url = None if next_position is None else _next_url(kind, next_position)
    body = f'{{"data":[{",".join(documents)}],"next":{json.dumps(url)}}}'
    response = Response(body, content_type="application/json")
    if url is not None:
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


def _next_url(kind: str, position: Sequence[Any]) -> str:
    query = {**request.args, "cursor": _sealer(kind).dumps(list(position))}
    return f"{request.base_url}?{urlencode(query)}"


def _sealer(kind: str) -> URLSafeSerializer:
    # Signed, so that nobody comes to depend on what is inside; the salt ties it to one list.
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=f"cursor.{kind}")
