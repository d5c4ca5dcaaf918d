"""The shortest way to a view: reads that are answered before Flask begins.

Of a plain read's time Flask's routing, contexts, proxies and response objects take far more than
the query. So a GET of an operation that is declared `express` is matched, admitted, parsed and
sent here, by the same functions and the same view, in WSGI's own terms. Whatever is out of the
ordinary goes on to Flask, which alone renders problems: an address that is not one of these, a
key that has to be looked up, a client that Redis has to be asked about, and, with what has been
found out so far, everything that a view raises.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from werkzeug.routing import Rule

from api import auth, context, limits, security
from api.operations import Operation, Sent
from errors import BadRequest

_LINES = {status: f"{status} {HTTPStatus(status).phrase.upper()}" for status in (200, 304)}


def init_app(app: Flask) -> None:
    """Stand in front of Flask, for the routes that the app has by now."""
    app.wsgi_app = Express(app)  # type: ignore[assignment, method-assign]  # as Flask has it


class Express:
    """A WSGI application that answers what it can, and leaves the rest to Flask."""

    def __init__(self, app: Flask) -> None:
        self._flask: WSGIApplication = app.wsgi_app
        self._plain: dict[str, tuple[str, Operation]] = {}  # by the whole path
        self._named: dict[str, tuple[str, Operation, str]] = {}  # by the path up to the last part
        for rule, operation in _express(app):
            path, _, name = rule.rule.partition("<")
            if name:  # with its converter: of `<path:sku>`, those without a slash come here
                self._named[path] = rule.rule, operation, name.removesuffix(">").split(":")[-1]
            else:
                self._plain[path] = rule.rule, operation

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer the request, here or in Flask."""
        found = self._match(environ) if environ["REQUEST_METHOD"] == "GET" else None
        if found is None:
            return self._flask(environ, start)
        route, operation, given = found
        try:
            call = context.begin(environ)
        except BadRequest:
            return self._flask(environ, start)
        sent = _answer(call, operation, given)
        if sent is None:
            context.hand_on(call)
            return self._flask(environ, start)
        headers = [*sent.headers, *call.headers, *security.headers(environ)]
        if sent.body:
            headers.append(("Content-Length", str(len(sent.body))))
        call.end(route, sent.status)
        start(_LINES[sent.status], headers)
        return [sent.body]

    def _match(self, environ: WSGIEnvironment) -> tuple[str, Operation, dict[str, Any]] | None:
        path = context.path(environ)
        if plain := self._plain.get(path):
            return *plain, {}
        start, slash, last = path.rpartition("/")
        named = self._named.get(start + slash)
        if named is None or not last:
            return None
        route, operation, name = named
        return route, operation, {name: last}


def _express(app: Flask) -> Iterator[tuple[Rule, Operation]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if isinstance(view, Operation) and view.express:
            yield rule, view


def _answer(call: context.Call, operation: Operation, given: dict[str, Any]) -> Sent | None:
    """What the view says; None where Flask has to go on."""
    if not auth.admit_at_once(operation.scope, visitors=operation.visitors):
        return None
    if not limits.count_at_once(call.key):
        return None
    try:
        sent: Sent = operation.view(**operation.arguments(given, call.query_string))
    except Exception as error:  # not swallowed: Flask raises it again
        call.error = error
        return None
    return sent
