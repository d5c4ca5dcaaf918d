"""What a request brings: its JSON body and its query parameters, read strictly."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from flask import request

import values
from errors import BadRequest, Fault, FieldFault, Invalid, UnsupportedMediaType
from models import JSONObject
from values import Scientific

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MAX_LIMIT = 200
MAX_DEPTH = 100  # far below where Python's recursion or PostgreSQL's stack would end


def json_object(*media_types: str) -> JSONObject:
    """The body as a JSON object (RFC 8259, in UTF-8, without duplicate names).

    Numbers with a fraction or an exponent come as Decimal, exactly as they were written. Raises
    UnsupportedMediaType, BadRequest for anything that is not JSON, Invalid for another value.
    """
    accepted = media_types or (JSON,)
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
            return Scientific(digits) if "e" in digits.lower() else Decimal(digits)
    except InvalidOperation:  # an exponent of twenty digits, which float() takes for zero
        pass
    raise BadRequest("The body holds a number that is out of range.", code="invalid_json")


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON.", code="invalid_json")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: the rule that reads it, and what the documentation says of it."""

    name: str
    read: Callable[[str], Any]  # raises Fault
    schema: JSONObject  # JSON Schema of the value as it stands in the address
    description: str
    default: Any = None


def query(known: Mapping[str, Parameter], query_string: str) -> JSONObject:
    """The value of each known parameter. Raises BadRequest that names an unknown or bad one."""
    read = {name: parameter.default for name, parameter in known.items()}
    for name, sent in arguments(query_string).items():
        parameter = known.get(name)
        if parameter is None:
            raise _bad_parameter(name, "unknown_parameter", "is not a parameter of this address")
        if len(sent) > 1:
            raise _bad_parameter(name, "repeated_parameter", "is given more than once")
        try:
            read[name] = parameter.read(sent[0])
        except Fault as fault:
            raise _bad_parameter(name, fault.code, fault.detail) from None
    return read


def arguments(query_string: str) -> dict[str, list[str]]:
    """Each name with its values, as werkzeug reads them; the string is WSGI's."""
    pairs = parse_qsl(
        query_string.encode("latin1").decode(), keep_blank_values=True, errors="werkzeug.url_quote"
    )
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def choice(name: str, words: Iterable[str], description: str, default: Any = None) -> Parameter:
    """A parameter that is one of a few words."""
    allowed = tuple(words)
    schema = {"type": "string", "enum": list(allowed)}
    return Parameter(name, partial(values.choice, allowed), schema, description, default)


def flag(name: str, description: str) -> Parameter:
    """A parameter that is true or false; false without it."""
    schema = {"type": "boolean", "default": False}
    return Parameter(name, _is_true, schema, description, default=False)


def _is_true(sent: str) -> bool:
    return values.choice(("true", "false"), sent) == "true"


def _limit(sent: str) -> int:
    if not (sent.isascii() and sent.isdigit() and len(sent) < 10 and 1 <= int(sent) <= MAX_LIMIT):
        raise Fault("out_of_range", f"must be a number from 1 to {MAX_LIMIT}")
    return int(sent)


LIMIT = Parameter(
    "limit",
    _limit,
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 25},
    "How many items a page holds.",
    default=25,
)
CURSOR = Parameter(
    "cursor",
    str,  # api/pages.py opens it, for it is sealed for one list
    {"type": "string"},
    "Where the page begins: taken from `next` or `prev` of another page of the same list.",
)


def _bad_parameter(name: str, code: str, detail: str) -> BadRequest:
    return BadRequest(
        f"The parameter {name} {detail}.", [FieldFault(code, detail, parameter=name)], code=code
    )
