"""What the value of a field looks like in JSON Schema: one function per class of field.

What the rules of single values say stands beside them, in `values.SHAPES`. A rule that is missing
there fails the document, and with it the tests: whoever adds one says it in both languages.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import singledispatch
from typing import Any

from marshmallow import fields

import values
from config import settings
from models import JSONObject
from schemas import (
    MAX_OPTIONS,
    Choice,
    Embedded,
    Flag,
    FreeObject,
    Integer,
    Items,
    Money,
    Timestamp,
    Value,
    Weight,
    option_values,
)

_DECIMALS = settings.currency_decimals
_NO_NUL = values.SHAPES[values.description]["pattern"]
_LABEL = values.SHAPES[values.label]
_RULES: Mapping[Callable[..., Any], Mapping[str, Any]] = {
    **values.SHAPES,
    option_values: {
        "type": "object",
        "maxProperties": MAX_OPTIONS,
        "propertyNames": {"maxLength": _LABEL["maxLength"], "pattern": _LABEL["pattern"]},
        "additionalProperties": _LABEL,
    },
}


@singledispatch
def shape_of(field: fields.Field[Any], *, sent: bool) -> JSONObject:
    """The JSON Schema of a field's value but for null: as it may be sent, or as it is answered.

    A schema class stands in for its component (`Shapes.of`). A field of a class that says nothing
    about its values carries their `shape` in its metadata.
    """
    shape: JSONObject = field.metadata["shape"]
    return dict(shape)


@shape_of.register
def _(field: Value, *, sent: bool) -> JSONObject:
    rule = _RULES[field.rule]
    return dict(rule) if sent else _without_pattern(rule)


def _without_pattern(shape: Mapping[str, Any]) -> JSONObject:
    """What readers of an answer need not know."""
    return {
        name: _without_pattern(part) if isinstance(part, Mapping) else part
        for name, part in shape.items()
        if name not in ("minLength", "pattern", "propertyNames")
    }


@shape_of.register
def _(field: Choice, *, sent: bool) -> JSONObject:
    return {"type": "string", "enum": list(field.choices)}


@shape_of.register
def _(field: Money, *, sent: bool) -> JSONObject:
    if not sent:
        decimals = rf"\.[0-9]{{{_DECIMALS}}}" if _DECIMALS else ""
        return {"type": "string", "pattern": f"^[0-9]+{decimals}$"}
    return _amount(values.money, values.MAX_AMOUNT) | {"multipleOf": 10**-_DECIMALS}


@shape_of.register
def _(field: Weight, *, sent: bool) -> JSONObject:
    if not sent:
        return {"type": "number"}
    return _amount(values.weight_grams, values.MAX_WEIGHT_GRAMS)


def _amount(rule: Callable[..., Any], below: Decimal) -> JSONObject:
    """A string of digits, or the same as a number."""
    numbers = {"type": ["string", "number"], "minimum": 0, "exclusiveMaximum": int(below)}
    return {**values.SHAPES[rule], **numbers}


@shape_of.register
def _(field: Flag, *, sent: bool) -> JSONObject:
    return {"type": "boolean"}


@shape_of.register
def _(field: Integer, *, sent: bool) -> JSONObject:
    return {"type": "integer"}


@shape_of.register
def _(field: fields.String, *, sent: bool) -> JSONObject:
    return {"type": "string"}


@shape_of.register
def _(field: Timestamp, *, sent: bool) -> JSONObject:
    return {"type": "string", "format": "date-time"}


@shape_of.register
def _(field: FreeObject, *, sent: bool) -> JSONObject:
    return {"type": "object", **({"propertyNames": {"pattern": _NO_NUL}} if sent else {})}


@shape_of.register
def _(field: Items, *, sent: bool) -> JSONObject:
    return {"type": "array", "maxItems": field.limit, "items": shape_of(field.inner, sent=sent)}


@shape_of.register
def _(field: Embedded, *, sent: bool) -> Any:
    return type(field.schema)
