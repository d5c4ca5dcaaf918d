"""Headers that tell browsers and caches what to keep to, and CORS by `CORS_ORIGINS`.

The same for Flask and ahead of it: `api/context.py` and `api/express.py` add them to every answer.
No cookie is ever looked at, so CORS needs no credentials: a page sends its key itself.
"""

from wsgiref.types import WSGIEnvironment

from config import settings

_EVERYWHERE = (
    ("X-Content-Type-Options", "nosniff"),
    # Nothing here is a page, but /docs, which says what it needs.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    # With a key there is more to see; CORS answers each origin by its name.
    ("Vary", "Authorization, Origin" if settings.cors_origins else "Authorization"),
)
_THROUGH_TLS = (*_EVERYWHERE, ("Strict-Transport-Security", "max-age=31536000"))
_WITH_A_KEY = ("Cache-Control", "private, no-cache")  # one's own cache may ask by ETag
_ORIGINS = frozenset(settings.cors_origins)
_EXPOSED_NAMES = (
    *("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"),
    *("Idempotent-Replayed", "Content-Disposition", "Accept-Patch"),
)
_EXPOSED = ("Access-Control-Expose-Headers", ", ".join(_EXPOSED_NAMES))
_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID",
    ),
    ("Access-Control-Max-Age", "7200"),
)


def headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """The headers for the answer to this request; those that it has already come before them."""
    found = [*(_THROUGH_TLS if environ["wsgi.url_scheme"] == "https" else _EVERYWHERE)]
    if "HTTP_AUTHORIZATION" in environ:
        found.append(_WITH_A_KEY)
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and (origin in _ORIGINS or "*" in _ORIGINS):
        found += (("Access-Control-Allow-Origin", origin), _EXPOSED)
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            found += _PREFLIGHT
    return found
