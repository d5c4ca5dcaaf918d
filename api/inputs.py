"""What a request brings: its JSON body and its query parameters, read strictly."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from flask import request

import strict_json
import values
from errors import BadRequest, Fault, FieldFault, Invalid, UnsupportedMediaType
from models import JSONObject

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MAX_LIMIT = 200
_NOT_UTF8 = "werkzeug.url_quote"  # such bytes stay percent-encoded


def json_object(*media_types: str) -> JSONObject:
    """The body as a JSON object (RFC 8259, in UTF-8, without duplicate names).

    Numbers with a fraction or an exponent come as Decimal, exactly as they were written. Raises
    UnsupportedMediaType, BadRequest for anything that is not JSON, Invalid for another value.
    """
    accepted = media_types or (JSON,)
    if request.mimetype not in accepted:
        raise UnsupportedMediaType(f"Send the body as {' or '.join(accepted)}.")
    value = _parse(request.get_data())
    if not isinstance(value, dict):
        raise Invalid(
            "The body must be a JSON object.", [FieldFault("invalid_type", "must be an object", "")]
        )
    return value


def _parse(body: bytes) -> Any:
    try:
        return strict_json.value(body.decode())
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start} does not belong there."
        raise BadRequest(detail, code="invalid_encoding") from None
    except Fault as fault:
        raise BadRequest(f"The body {fault.detail}.", code=fault.code) from None


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
    sent = query_string.encode("latin1").decode(errors=_NOT_UTF8)
    pairs = parse_qsl(sent, keep_blank_values=True, errors=_NOT_UTF8)
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def by_rule(name: str, rule: Callable[[str], Any], description: str) -> Parameter:
    """A parameter that is read by one of `values`' rules, which says its schema too."""
    return Parameter(name, rule, dict(values.SHAPES[rule]), description)


def choice(name: str, words: Iterable[str], description: str, default: Any = None) -> Parameter:
    """A parameter that is one of a few words."""
    allowed = tuple(words)
    schema = {"type": "string", "enum": list(allowed)}
    return Parameter(name, partial(values.choice, allowed), schema, description, default)


def times(name: str, items: str) -> tuple[Parameter, ...]:
    """Parameters that bound a time: `created_at[gte]` and the like, for a list of `items`."""
    return tuple(
        by_rule(
            f"{name}[{operator}]",
            values.timestamp,
            f"Only {items} with a time that is {meaning} this.",
        )
        for operator, meaning in _BOUNDS.items()
    )


_BOUNDS = {"gt": "later than", "gte": "not before", "lt": "earlier than", "lte": "not after"}


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
