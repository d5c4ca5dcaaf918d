"""What surrounds every request: its id, its caller, and one line in the log at its end.

`current()` is there on both ways to a view: through Flask, and ahead of it (`api/express.py`).
What is needed on both reads that, and not `flask.request`.
"""

import logging
import random
import re
import time
from contextvars import ContextVar
from functools import lru_cache
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, request
from werkzeug.sansio.utils import get_host
from werkzeug.wsgi import get_path_info

import queries
from access.keys import Key
from api import logs, metrics, security
from config import settings
from errors import BadRequest
from jobs import caller

log = logging.getLogger(__name__)

# What is taken over from a client; anything else could forge log lines or grow them.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class Call:
    """A request while it is served: `key` once it is known, and headers for whatever answer."""

    __slots__ = ("environ", "error", "headers", "key", "queries", "started")

    def __init__(self, environ: WSGIEnvironment, request_id: str) -> None:
        self.started = time.perf_counter()
        self.environ = environ
        self.queries = queries.begin()
        self.key: Key | None = None
        self.error: Exception | None = None  # what the view has raised, ahead of Flask
        self.headers = [("X-Request-ID", request_id)]

    @property
    def query_string(self) -> str:
        """As WSGI has it: bytes that look like latin-1."""
        return self.environ.get("QUERY_STRING", "")  # type: ignore[no-any-return]

    @property
    def url(self) -> str:
        """The address without its query, percent-encoded."""
        return origin(self.environ) + _quoted(
            self.environ.get("SCRIPT_NAME", "") + path(self.environ)
        )

    def end(self, route: str | None, status: int) -> None:
        """Count the request, and write its line in the log; `route` is None where there is none."""
        seconds = time.perf_counter() - self.started
        method: str = self.environ["REQUEST_METHOD"]
        metrics.observe(method, route, status, seconds)
        slow = seconds * 1000 > settings.slow_request_ms > 0
        if log.isEnabledFor(logging.WARNING if slow else logging.INFO):
            told = {
                "method": method,
                "route": route or path(self.environ),
                "status": status,
                "ms": round(seconds * 1000, 1),
                "queries": self.queries.count,
            }
            if self.key is not None:
                told["key"] = self.key.id
            if slow:
                told |= self.queries.slowest()
            level, said = ("warning", "slow request") if slow else ("info", "request")
            logs.write(level, log.name, self.headers[0][1], said, told)


_current: ContextVar[Call] = ContextVar("call")
_CALL = "pushcart.call"  # in the environ of a request that has begun ahead of Flask


def init_app(app: Flask) -> None:
    """Begin and end every request that Flask serves, unmatched URLs included."""
    app.before_request(_begin)
    app.after_request(_end)


def begin(environ: WSGIEnvironment) -> Call:
    """Make this request the current one. Raises BadRequest for a Host that is none."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = sent if _REQUEST_ID.fullmatch(sent) else new_request_id()
    call = Call(environ, request_id)
    _current.set(call)
    base_url = None
    try:
        base_url = f"{origin(environ)}{environ.get('SCRIPT_NAME', '').rstrip('/')}/"
    finally:
        caller.begin(caller.Caller(request_id, base_url))
    return call


def new_request_id() -> str:
    """An id to tell a request from others. It is not secret: no system call, unlike uuid4's."""
    return f"{random.getrandbits(128):032x}"


def hand_on(call: Call) -> None:
    """Let Flask go on with a request that has begun."""
    call.environ[_CALL] = call


def current() -> Call:
    """The request that is being served."""
    return _current.get()


def origin(environ: WSGIEnvironment) -> str:
    """Scheme, host and port under which the client has reached us: `https://shop.example`.

    Raises BadRequest, as RFC 9112 §3.2 asks for.
    """
    return _origin(
        environ["wsgi.url_scheme"],
        environ.get("HTTP_HOST") or None,
        environ["SERVER_NAME"],
        environ["SERVER_PORT"],
    )


def path(environ: WSGIEnvironment) -> str:
    """The path of the address, percent-encoding undone."""
    found: str = environ.get("PATH_INFO", "")
    return found if found.isascii() else get_path_info(environ)


_quoted = lru_cache(maxsize=256)(quote)


@lru_cache(maxsize=256)
def _origin(scheme: str, host: str | None, name: str, port: str) -> str:
    found = get_host(scheme, host, (name, int(port) if port.isdigit() else None))
    try:
        found.encode("idna")  # as the routing will
    except UnicodeError:
        found = ""
    if not found:
        raise BadRequest("The header Host names no host.", code="invalid_host")
    return f"{scheme}://{found}"


def _begin() -> None:
    if request.environ.pop(_CALL, None) is None:
        begin(request.environ)


def _end(response: Response) -> Response:
    call = current()
    response.headers.update(call.headers)
    there = {name for name, _ in response.headers}  # /docs has its own policy
    for name, value in security.headers(call.environ):
        if name not in there:
            response.headers.add(name, value)
    call.end(request.url_rule.rule if request.url_rule else None, response.status_code)
    return response
