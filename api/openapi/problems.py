"""Every problem that a client can meet: its status, its code, and which routes answer with it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from api import idempotency
from api.inputs import CURSOR
from api.openapi.faults import FAULTS
from api.openapi.routes import Route
from errors import Ambiguous, Fault, PushcartError, RangeNotSatisfiable
from models import JSONObject

MEDIA_TYPE = "application/problem+json"

SCHEMA: JSONObject = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `code` is stable; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "request_id": {"type": "string", "description": "Names this request in the logs."},
        "errors": {
            "type": "array",
            "description": "Each wrong field or parameter.",
            "items": {"$ref": "#/components/schemas/Fault"},
        },
        "candidates": {
            "type": "array",
            "description": "What an ambiguous handle or SKU may mean.",
            "items": {"type": "object"},
        },
    },
}
FAULT: JSONObject = {
    "type": "object",
    "description": "One wrong value, and where it stands. Its code is one of:\n\n"
    + "\n".join(f"- `{code}`: {meaning}" for code, meaning in FAULTS.items()),
    "required": ["code", "detail"],
    "properties": {
        "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901) into the body."},
        "parameter": {"type": "string", "description": "The name of a query parameter."},
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "detail": {"type": "string"},
        "available": {"type": "integer", "description": "Of a line of an order: what is left."},
        "current": {"type": ["integer", "null"], "description": "Of an adjustment: the stock."},
    },
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `detail` is an example of what is said of it."""

    status: int
    code: str
    detail: str
    met_by: Callable[[Route], bool]

    def example(self) -> JSONObject:
        """The problem as a client sees it."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": "5f0c7a52-6f1e-4f0e-9b1d-1c7d2a0f7a52",
        }


def _every(_: Route) -> bool:
    return True


def _keyed(route: Route) -> bool:
    return route.operation.scope is not None


def _addressed(route: Route) -> bool:
    return bool(route.variables)  # of which some values make it another address, or none


def _parameters(route: Route) -> bool:
    return bool(route.operation.query)


def _paged(route: Route) -> bool:
    return not {CURSOR.name, "after"}.isdisjoint(route.operation.query)


def _body(route: Route) -> bool:
    return route.operation.body is not None


def _json(route: Route) -> bool:
    return route.operation.body is not None and not route.operation.body.raw


def _repeatable(route: Route) -> bool:
    return idempotency.HEADER in route.operation.headers


def _raises(status: int, *tags: str) -> Callable[[Route], bool]:
    """Routes of these blueprints that declare an error of this status."""
    return lambda route: (
        route.tag in tags and status in {error.status for error in route.operation.raises}
    )


def _declares(error: type[PushcartError]) -> Callable[[Route], bool]:
    return lambda route: error in route.operation.raises


def _named(*names: str) -> Callable[[Route], bool]:
    return lambda route: route.name in names


def _conditional(route: Route) -> bool:
    return "If-Match" in route.operation.headers


def _restores(route: Route) -> bool:
    return route.path.endswith("/restore")


def _names_skus(route: Route) -> bool:
    return Ambiguous in route.operation.raises and not _restores(route)


def _takes_stock(route: Route) -> bool:
    return _names_skus(route) and route.tag in ("orders", "stock")


def _needs_key(route: Route) -> bool:
    return route.operation.needs_idempotency_key


def _of(*tags: str) -> Callable[[Route], bool]:
    return lambda route: route.tag in tags


def _is_of_one_order(route: Route) -> bool:
    return route.name in ("cancelOrder", "resendConfirmation")


def _of_a_webhook(route: Route) -> bool:
    return "webhook_id" in route.variables


PROBLEMS = (
    Problem(400, "unknown_parameter", "The parameter page is not one of this address.", _every),
    Problem(400, "invalid_host", "The header Host names no host.", _every),
    Problem(400, "repeated_parameter", "The parameter limit is given more than once.", _parameters),
    Problem(400, "invalid_cursor", "The cursor is not one of this list.", _paged),
    Problem(400, "invalid_json", "The body is not JSON: Expecting value.", _json),
    Problem(400, "invalid_header", "The header If-Match must be * or entity tags.", _conditional),
    Problem(400, "invalid_encoding", "The body is not UTF-8.", _json),
    Problem(400, "duplicate_name", "The body holds the name 'price' twice in one object.", _json),
    Problem(401, "key_missing", "This needs a key: send `Authorization: Bearer …`.", _keyed),
    Problem(400, "invalid_idempotency_key", "The header Idempotency-Key is not one.", _repeatable),
    Problem(400, "idempotency_key_required", "It must be there.", _needs_key),
    Problem(401, "key_unknown", "The key is not known.", _keyed),
    Problem(401, "key_revoked", "The key has been revoked.", _keyed),
    Problem(401, "key_expired", "The key has expired.", _keyed),
    Problem(403, "scope_missing", "This key lacks the scope that this needs.", _keyed),
    Problem(403, "scope_beyond_key", "A key hands on no more than it has.", _raises(403, "keys")),
    Problem(403, "outlives_key", "A key hands on no more than it has.", _raises(403, "keys")),
    Problem(404, "not_found", "The requested URL was not found on the server.", _addressed),
    Problem(404, "product_not_found", "There is no product 'mug'.", _raises(404, "products")),
    Problem(404, "job_not_found", "There is no job 7.", _raises(404, "jobs")),
    Problem(404, "webhook_not_found", "There is no webhook 7.", _of_a_webhook),
    Problem(404, "delivery_not_found", "There is no delivery 7.", _named("redeliver")),
    Problem(404, "key_not_found", "There is no key 7.", _raises(404, "keys")),
    Problem(404, "order_not_found", "There is no order '0f8e7d6c'.", _raises(404, "orders")),
    Problem(404, "variant_not_found", "There is no variant with the SKU 'A'.", _of("variants")),
    Problem(404, "no_refused_rows", "The job has refused no row.", _named("listJobErrors")),
    Problem(404, "no_result_file", "This import has made no file.", _named("getJobResult")),
    Problem(409, "handle_taken", "The handle is taken.", _raises(409, "products", "batch")),
    Problem(409, "webhook_disabled", "Enable it first.", _raises(409, "webhooks")),
    Problem(409, "job_finished", "The job has succeeded already.", _named("cancelJob")),
    Problem(409, "job_not_finished", "It goes on by itself.", _named("getJobResult", "retryJob")),
    Problem(409, "nothing_to_retry", "The job has done all.", _named("retryJob")),
    Problem(409, "changed_meanwhile", "Others are changing these products.", _of("batch")),
    Problem(409, "changed_meanwhile", "Others are changing these variants.", _takes_stock),
    Problem(409, "insufficient_stock", "The stock does not suffice.", _named("placeOrder")),
    Problem(409, "order_canceled", "It has been canceled already.", _is_of_one_order),
    Problem(409, "stale_stock", "The stock is another than expected.", _named("adjustStock")),
    Problem(409, "ambiguous_handle", "2 deleted products had this handle.", _restores),
    Problem(409, "ambiguous_sku", "The SKU is carried by the variants 31, 44.", _names_skus),
    Problem(409, "idempotency_in_progress", "It is being worked on. Ask again.", _repeatable),
    Problem(410, "events_forgotten", "These events are kept no longer.", _named("listEvents")),
    Problem(410, "file_expired", "The file is kept no longer.", _raises(410, "jobs")),
    Problem(412, "precondition_failed", "The product is at version 4 now.", _conditional),
    Problem(413, "too_large", "The body is larger than this address takes.", _body),
    Problem(415, "unsupported_media_type", "Send the body as application/json.", _body),
    Problem(416, "range_not_satisfiable", "The file has 17 bytes.", _declares(RangeNotSatisfiable)),
    Problem(422, "invalid", "/name: must not be blank", _body),
    Problem(422, "empty_file", "The body is empty: send the file.", _of("imports")),
    Problem(422, "idempotency_key_reused", "It was sent with another body.", _repeatable),
    Problem(428, "precondition_required", "Send If-Match with the ETag.", _conditional),
    Problem(429, "rate_limited", "More than 6000 requests in 60 seconds.", _keyed),
    Problem(500, "internal_error", "A fault of ours. It has been logged.", _every),
    Problem(503, "database_unavailable", "The database does not answer. Try again.", _keyed),
)


# What stands in the header of a problem, beside what every answer has.
HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def examples(known: Iterable[Route]) -> JSONObject:
    """An example of each problem that these routes meet, by its code."""
    found = {problem.code: problem for route in known for problem in met_by(route)}
    return {code: {"value": problem.example()} for code, problem in sorted(found.items())}


def met_by(route: Route) -> list[Problem]:
    """The problems that a route answers with. Raises LookupError for a gap in the list."""
    found = [problem for problem in PROBLEMS if problem.met_by(route)]
    for error in route.operation.raises:
        if error.status not in {problem.status for problem in found}:
            raise LookupError(f"{route.name} raises {error.__name__}: PROBLEMS lacks it")
    return [*_bad_parameters(route), *found]


def codes_by_status(route: Route) -> dict[int, list[str]]:
    """The codes that a route answers with, under their status."""
    found: dict[int, list[str]] = {}
    for problem in met_by(route):
        found.setdefault(problem.status, []).append(problem.code)
    return found


# Each breaks the rule of some parameter.
_BAD = (
    "",
    "?",
    "-1",
    "a\0b",
    "a\nb",
    "a/b",
    "0.00001",
    "9" * 11,
    "9" * 50,
    '"',
    "2026-13-01T00:00:00Z",
    "x" * 4096,
    "," * 200,
)


def _bad_parameters(route: Route) -> Iterator[Problem]:
    """What the route's own parameters say of bad values; found out by trying."""
    said = set()
    for parameter in route.operation.query.values():
        for bad in _BAD:
            try:
                parameter.read(bad)
            except Fault as fault:
                if fault.code not in said:
                    said.add(fault.code)
                    detail = f"The parameter {parameter.name} {fault.detail}."
                    yield Problem(400, fault.code, detail, _every)
