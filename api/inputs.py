"""What a request brings: its JSON body and its query parameters, read strictly."""

import json
import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from flask import request

from errors import BadRequest, Fault, FieldFault, Invalid, UnsupportedMediaType
from models import JSONObject

_JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MAX_LIMIT = 200
MAX_DEPTH = 100  # far below where Python's recursion or PostgreSQL's stack would end


def json_object(*media_types: str) -> JSONObject:
    """The body as a JSON object (RFC 8259, in UTF-8, without duplicate names).

    Numbers with a fraction or an exponent come as Decimal, exactly as they were written. Raises
    UnsupportedMediaType, BadRequest for anything that is not JSON, Invalid for another value.
    """
    accepted = media_types or (_JSON,)
    if request.mimetype not in accepted:
        raise UnsupportedMediaType(f"Send the body as {' or '.join(accepted)}.")
    value = _parse(request.get_data())
    _check_depth(value)
    if not isinstance(value, dict):
        raise Invalid(
            "The body must be a JSON object.", [FieldFault("invalid_type", "must be an object", "")]
        )
    return value


def _parse(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except BadRequest:
        raise
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start} does not belong there."
        raise BadRequest(detail, code="invalid_encoding") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(
            f"The body is not JSON: {error.msg} ({where}).", code="invalid_json"
        ) from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None
    except ValueError:  # Python refuses to read integers of more than 4,300 digits
        raise BadRequest("The body holds a number that is too long.", code="invalid_json") from None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise BadRequest("The body is nested too deeply.", code="invalid_json")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> JSONObject:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BadRequest(f"The name {twice!r} stands twice in one object.", code="duplicate_name")
    return names


def _finite(digits: str) -> Decimal:
    try:
        if math.isfinite(float(digits)):
            return Decimal(digits)
    except InvalidOperation:  # an exponent of twenty digits, which float() takes for zero
        pass
    raise BadRequest("The body holds a number that is out of range.", code="invalid_json")


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON.", code="invalid_json")


def known_parameters(*names: str) -> None:
    """Refuse query parameters other than these, and repeated ones. Raises BadRequest naming it."""
    for name, sent in request.args.lists():
        if name not in names:
            raise _bad_parameter(name, "unknown_parameter", "is not a parameter of this address")
        if len(sent) > 1:
            raise _bad_parameter(name, "repeated_parameter", "is given more than once")


def choice(name: str, allowed: Iterable[str], default: str | None = None) -> str | None:
    """A query parameter that is one of a few words. Raises BadRequest."""
    value = request.args.get(name, default)
    if value is not None and value not in (words := tuple(allowed)):
        raise _bad_parameter(name, "not_a_choice", f"must be one of: {', '.join(words)}")
    return value


def limit(default: int = 25) -> int:
    """The page size asked for, 1 to 200. Raises BadRequest."""
    sent = request.args.get("limit", str(default))
    if not (sent.isascii() and sent.isdigit() and len(sent) < 10 and 1 <= int(sent) <= MAX_LIMIT):
        raise _bad_parameter("limit", "out_of_range", f"must be a number from 1 to {MAX_LIMIT}")
    return int(sent)


def value(name: str, rule: Any) -> Any:
    """A query parameter held to a rule of `values`; None when it is absent. Raises BadRequest."""
    sent = request.args.get(name)
    if sent is None:
        return None
    try:
        return rule(sent)
    except Fault as fault:
        raise _bad_parameter(name, fault.code, fault.detail) from None


def _bad_parameter(name: str, code: str, detail: str) -> BadRequest:
    return BadRequest(
        f"The parameter {name} {detail}.", [FieldFault(code, detail, parameter=name)], code=code
    )
