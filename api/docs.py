"""`/openapi.json`: the API as OpenAPI 3.1. `/docs`: the same for people, without any network.

The page is Swagger UI as its package ships it, and what little stands in `docs.html`.
"""

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, current_app, request, url_for
from flask.typing import ResponseReturnValue

from api.inputs import JSON
from api.openapi.document import build
from api.operations import Answer, operation

_PACKAGE = "flask_swagger_ui"
_PAGE = Path(__file__).with_suffix(".html").read_text()
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_YEAR_SECONDS = 365 * 24 * 60 * 60


class _Docs(Blueprint):
    """Serves the package's files; their address holds its version, so they may be kept long."""

    def get_send_file_max_age(self, filename: str | None) -> int:
        return _YEAR_SECONDS


blueprint = _Docs(
    "docs",
    __name__,
    static_folder=str(files(_PACKAGE) / "dist"),
    static_url_path=f"/docs/{version(_PACKAGE)}",
)


@blueprint.get("/openapi.json")
@operation(
    None,
    headers=("If-None-Match",),
    answers={
        200: Answer("The document.", {"type": "object"}, headers=("ETag",)),
        304: Answer("The client has it already.", headers=("ETag",)),
    },
)
def get_openapi() -> ResponseReturnValue:
    """Read the OpenAPI 3.1 document of every route: this one."""
    response = Response(_document(), content_type=JSON)
    response.add_etag()
    return response.make_conditional(request)


def _document() -> bytes:
    """The document of the app's routes, made when it is first asked for."""
    kept: dict[str, bytes] = current_app.extensions
    if blueprint.name not in kept:
        kept[blueprint.name] = json.dumps(build(current_app), ensure_ascii=False).encode()
    return kept[blueprint.name]


@blueprint.get("/docs")
@operation(None, answers={200: Answer("The page.", {"type": "string"}, media_type="text/html")})
def get_docs() -> ResponseReturnValue:
    """Read the same as a page, and try it out."""
    page = _PAGE.replace("{{ui}}", url_for("docs.static", filename=""))
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _hashes(tag: str) -> str:
    """What allows the page's own inline parts, and no others."""
    parts = (content for name, content in _INLINE.findall(_PAGE) if name == tag)
    return " ".join(
        f"'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" for part in parts
    )


_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' {_hashes('script')}",
        f"style-src 'self' {_hashes('style')}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
