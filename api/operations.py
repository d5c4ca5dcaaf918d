"""What a route promises, declared beside it: who may call it, what it takes, what it answers.

`@operation(...)` enforces the declaration, and `api/openapi/` documents the same one, so that
neither can know a parameter that the other does not. The order for every request is: key, limit,
scope, parameters, body, view. A route that writes is one unit of work, committed here; a POST with
an Idempotency-Key is one that takes effect once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial, update_wrapper
from typing import Any, NamedTuple, Protocol, Self

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from api import auth, context, idempotency, inputs
from api.inputs import JSON, Parameter
from errors import PushcartError
from models import JSONObject, db

_MOST_QUERIES = 256  # remembered as parsed, for each operation


class Sent(NamedTuple):
    """A good answer in parts, as Flask takes them too."""

    body: bytes
    status: int
    headers: list[tuple[str, str]]


class Upload(Protocol):
    """A body that is stored while it arrives, and is deleted in the end unless the view took it."""

    def digest(self) -> bytes:
        """A hash of what has arrived."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Body:
    """What a route reads: JSON of a schema, or what `reader` makes of the request's stream.

    Either arrives in the view as `sent`.
    """

    schema: type[Schema] | JSONObject
    media_types: tuple[str, ...] = (JSON,)
    reader: Callable[[], Upload] | None = None
    max_bytes: int | None = None  # of JSON, where it is more than elsewhere

    @property
    def raw(self) -> bool:
        """Whether it is something else than JSON."""
        return self.reader is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """One of a route's good answers: its JSON, if it has any, and the headers beside it."""

    description: str
    schema: type[Schema] | JSONObject | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON
    file_types: tuple[str, ...] = ()  # of the file that it is to those who ask for one


@dataclass(eq=False)
class Operation:
    """A view with its declaration; calling it serves the current request."""

    view: Callable[..., Any]
    scope: str | None  # what the key must allow; None: no key, no limit
    visitors: bool  # whether it answers without a key too, unless PUBLIC_READS is off
    query: Mapping[str, Parameter]
    headers: tuple[str, ...]  # request headers that it heeds
    body: Body | None
    answers: Mapping[int, Answer]
    raises: tuple[type[PushcartError], ...]  # beside those that every such route may raise
    shown_once: str | None  # the field of an answer that is stored nowhere
    opened_by: Parameter | None  # what lets a request without a key come to the view, which checks
    needs_idempotency_key: bool
    express: bool  # whether the view does without Flask's request, and gives `Sent`
    # The parameters in a query string, not to be changed. Raises BadRequest.
    asked: Callable[[str], JSONObject] = field(init=False)
    __name__: str = field(init=False)

    def __post_init__(self) -> None:
        # Most requests ask what others have asked before them.
        self.asked = lru_cache(_MOST_QUERIES)(partial(inputs.query, self.query))

    @property
    def writes(self) -> bool:
        """Whether it changes anything, and is committed: a POST does, if only by making a job."""
        is_post = idempotency.HEADER in self.headers
        return is_post or (self.scope is not None and self.scope.endswith(":write"))

    def arguments(self, given: JSONObject, query_string: str) -> JSONObject:
        """What the view takes: the address's variables and the query. Raises BadRequest."""
        query = self.asked(query_string)
        return {**given, "query": query} if self.query else given

    def __call__(self, **given: Any) -> Response:
        """Admit, parse, call the view, commit. Raises what the view does, and PushcartError."""
        call = context.current()
        if call.error is not None:
            raise call.error
        if self.scope is not None:
            auth.admit(self.scope, visitors=self.visitors, holder=self._is_opened(call))
        key = idempotency.sent_key() if idempotency.HEADER in self.headers else None
        if key is None and self.needs_idempotency_key:
            raise idempotency.missing()
        given = self.arguments(given, call.query_string)
        if self.body is None:
            return self._run(given, key)
        if self.body.reader is None:
            if self.body.max_bytes is not None:
                request.max_content_length = self.body.max_bytes
            return self._run({**given, "sent": inputs.json_object(*self.body.media_types)}, key)
        with self.body.reader() as upload:  # before any transaction: it takes as long as it likes
            return self._run({**given, "sent": upload}, key, upload)

    def _is_opened(self, call: context.Call) -> bool:
        sent = inputs.arguments(call.query_string) if self.opened_by else ()
        return self.opened_by is not None and self.opened_by.name in sent

    def _run(
        self, given: Mapping[str, Any], key: str | None, upload: Upload | None = None
    ) -> Response:
        if key is not None:
            asked = idempotency.once(key, upload.digest() if upload else request.get_data())
            return idempotency.first_answer(asked, partial(self._view, given), self.shown_once)
        response = self._view(given)
        if self.writes:
            db.session.commit()
        return response

    def _view(self, given: Mapping[str, Any]) -> Response:
        return current_app.make_response(self.view(**given))


def operation(  # noqa: PLR0913  # a declaration has as many parts as a promise
    scope: str | None,
    *,
    visitors: bool = False,
    query: tuple[Parameter, ...] = (),
    headers: tuple[str, ...] = (),
    body: Body | None = None,
    answers: Mapping[int, Answer],
    raises: tuple[type[PushcartError], ...] = (),
    shown_once: str | None = None,
    opened_by: Parameter | None = None,
    needs_idempotency_key: bool = False,
    express: bool = False,
) -> Callable[[Callable[..., ResponseReturnValue]], Operation]:
    """Declare what the view below promises; see `Operation`.

    The view is called with the address's variables, with `query` (every declared parameter by
    its name, None where it is absent and has no default) and with `sent`, each if declared.
    `shown_once` names a field of the answer that repeats with an Idempotency-Key do not show.
    `opened_by` is one of the parameters: with it, the view is to find out who may see what.
    `express` is for a GET whose view does without `flask.request` and gives `Sent`:
    it is served by `api/express.py` where that can.
    """

    def declare(view: Callable[..., ResponseReturnValue]) -> Operation:
        known = {parameter.name: parameter for parameter in query}
        declared = Operation(
            view,
            scope,
            visitors,
            known,
            headers,
            body,
            answers,
            raises,
            shown_once,
            opened_by,
            needs_idempotency_key,
            express,
        )
        update_wrapper(declared, view)
        return declared

    return declare


def init_app(app: Flask) -> None:
    """Complete each declaration by what follows from its method: POST heeds Idempotency-Key."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if isinstance(view, Operation) and "POST" in (rule.methods or ()):
            view.headers = (*dict.fromkeys([*view.headers, idempotency.HEADER]),)
