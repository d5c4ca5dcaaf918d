"""`ma` and every marshmallow schema: the public shape of each resource, declared once.

`ProductSchema` validates what clients send, and is also what `catalog/documents.py` turns into
the SQL that renders a product's stored document.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask_marshmallow import Marshmallow
from marshmallow import RAISE, ValidationError, fields, validates_schema

import values
from errors import Fault, FieldFault
from models import PRODUCT_STATUSES, JSONObject

ma = Marshmallow()

MAX_VARIANTS = 2048
MAX_IMAGES = 250
MAX_TAGS = 250
MAX_OPTIONS = 20


class Coded(fields.Field[Any]):
    """Gives marshmallow's own messages a stable code: the key of the message."""

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        """The error that marshmallow raises for its message `key`."""
        code = {"null": "required", "invalid": "invalid_type", "type": "invalid_type"}.get(key, key)
        message = str(super().make_error(key, **kwargs).messages[0])
        return refused(Fault(code, message[:1].lower() + message[1:].rstrip(".")))


def refused(fault: Fault, field: str = "_schema") -> ValidationError:
    """The marshmallow error that carries a fault."""
    return ValidationError([fault], field)


class Value(Coded):
    """A single value held to one of the rules in `values`."""

    def __init__(self, rule: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.rule(value)
        except Fault as fault:
            raise refused(fault) from None


class Text(Value):
    """Text as stored."""


class Whole(Value):
    """An integer. `true` and `5.0` are not integers in JSON."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise refused(Fault("not_an_integer", "must be a whole number"))
        return super()._deserialize(value, attr, data, **kwargs)


class Number(Value):
    """An exact decimal, written as a JSON number or as a string of digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        # A float is never a client's: it is a stored weight that a merge patch has kept.
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal | float):
            raise refused(Fault("not_a_number", "must be a decimal string or a number"))
        return super()._deserialize(_digits(value), attr, data, **kwargs)


def _digits(value: float | str | Decimal) -> str:
    # Beyond 64 bits no amount is valid, and str() of a huge integer raises.
    if isinstance(value, int) and value.bit_length() > 64:
        raise refused(Fault("too_large", "is too large"))
    return str(value)


class Money(Number):
    """An amount of the shop's currency: out as a string with the currency's decimals."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(values.money, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class Weight(Number):
    """Grams: out as a JSON number, to the milligram."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(values.weight_grams, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else float(value)


class Timestamp(fields.Field[datetime]):
    """RFC 3339 in UTC with microseconds, such as 2026-11-21T09:30:00.000000Z; read-only."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Integer(Coded, fields.Integer):
    """A read-only number that the server gives."""


class Flag(Coded, fields.Boolean):
    """true or false, and no words for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):  # marshmallow would take 1, "yes" and "on" too
            raise self.make_error("invalid", input=value)
        return value


class Choice(Value):
    """One of a few words."""

    def __init__(self, choices: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(self._check, **kwargs)
        self.choices = choices

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise Fault("not_a_choice", f"must be one of: {', '.join(self.choices)}")
        return value


class Items(Coded, fields.List[Any]):
    """An array of at most `limit` items."""

    def __init__(self, inner: fields.Field[Any], limit: int, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        self.limit = limit

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self.limit:
            raise refused(Fault("too_many", f"holds more than {self.limit} items"))
        return super()._deserialize(value, attr, data, **kwargs)


class Distinct(Items):
    """An array of texts in which repeats are dropped, the first kept."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        return list(dict.fromkeys(super()._deserialize(value, attr, data, **kwargs)))


class Embedded(Coded, fields.Nested):
    """An object with a schema of its own."""


class FreeObject(Coded):
    """Any JSON object, kept as it is."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> JSONObject:
        if not isinstance(value, dict):
            raise refused(Fault("invalid_type", "must be an object"))
        try:
            return _storable_object(value)
        except Fault as fault:
            raise refused(fault) from None


def _storable(value: Any) -> Any:
    """A JSON value that PostgreSQL can hold: no NUL, no lone surrogate; numbers become floats."""
    match value:
        case str():
            return values.text(value, values.DESCRIPTION_LIMIT)
        case Decimal():
            return float(value)
        case dict():
            return _storable_object(value)
        case list():
            return [_storable(item) for item in value]
        case _:
            return value


def _storable_object(value: JSONObject) -> JSONObject:
    return _distinct({name: _storable(name) for name in value}, value, _storable)


def _distinct(
    names: Mapping[str, str], value: JSONObject, rule: Callable[[Any], Any]
) -> dict[str, Any]:
    """`value` under its names as stored, which must not become equal by that."""
    if len(set(names.values())) < len(names):
        raise Fault("duplicate_name", "holds names that differ in nothing but their encoding")
    return {names[name]: rule(item) for name, item in value.items()}


def option_values(value: Any) -> dict[str, str]:
    """A variant's options, such as `{"Size": "M"}`."""
    if not isinstance(value, dict):
        raise Fault("invalid_type", "must be an object of texts")
    if len(value) > MAX_OPTIONS:
        raise Fault("too_many", f"holds more than {MAX_OPTIONS} options")
    return _distinct({name: values.label(name) for name in value}, value, values.label)


class _Strict(ma.Schema):  # type: ignore[misc,name-defined]  # flask-marshmallow is untyped
    error_messages = {  # noqa: RUF012  # marshmallow's own way to set them
        "unknown": Fault("unknown_field", "is not a field of this resource"),
        "type": Fault("invalid_type", "must be an object"),
    }

    class Meta:
        unknown = RAISE


class ImageSchema(_Strict):
    """One picture of a product."""

    url = Text(values.url, required=True)
    alt = Text(values.name, allow_none=True, load_default=None)


class VariantFields(_Strict):
    """What a variant holds besides its identity; a product without variants takes it directly."""

    sku = Text(values.label, allow_none=True, load_default=None)
    price = Money(allow_none=True, load_default=None)
    compare_at_price = Money(allow_none=True, load_default=None)
    barcode = Text(values.label, allow_none=True, load_default=None)
    weight_grams = Weight(allow_none=True, load_default=None)
    stock = Whole(values.stock, allow_none=True, load_default=None)
    backorder = Flag(load_default=False)


class VariantSchema(VariantFields):
    """One combination of a product's options; `options` is its identity within the product."""

    id = Integer(dump_only=True)
    options = Value(option_values, load_default=dict[str, str])

    class Meta:
        unknown = RAISE
        fields = ("id", "options", *VariantFields().fields)


class ProductSchema(_Strict):
    """A product as clients read and write it."""

    id = Integer(dump_only=True)
    handle = Text(values.handle, required=True)
    name = Text(values.name, required=True)
    description = Text(values.description, allow_none=True, load_default=None)
    status = Choice(PRODUCT_STATUSES, load_default="active")
    vendor = Text(values.label, allow_none=True, load_default=None)
    category = Text(values.name, allow_none=True, load_default=None)
    tags = Distinct(Text(values.label), MAX_TAGS, load_default=list)
    options = Distinct(Text(values.label), MAX_OPTIONS, load_default=list)
    images = Items(Embedded(ImageSchema), MAX_IMAGES, load_default=list)
    metadata = FreeObject(attribute="metadata_", load_default=dict)
    variants = Items(Embedded(VariantSchema), MAX_VARIANTS, required=True)
    version = Integer(dump_only=True)
    created_at = Timestamp(dump_only=True)
    updated_at = Timestamp(dump_only=True)

    @validates_schema(skip_on_field_errors=True)
    def check_options(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse a product whose variants cannot be told apart by their options."""
        seen: set[tuple[tuple[str, str], ...]] = set()
        for index, variant in enumerate(data["variants"]):
            identity = tuple(sorted(variant["options"].items()))
            if identity in seen:
                fault = Fault("duplicate_options", "repeats the options of an earlier variant")
                raise ValidationError({"variants": {index: {"options": [fault]}}})
            seen.add(identity)


# `total`, `processed` and `failed` count a file's rows, the others its products.
PROGRESS = ("total", "processed", "created", "updated", "unchanged", "failed")


class JobSchema(_Strict):
    """A piece of background work, as its owner watches it."""

    id = Integer()
    kind = fields.String()
    status = fields.String()
    ready = fields.Function(lambda job: job.finished_at is not None)
    successful = fields.Function(lambda job: job.status == "succeeded")
    progress = fields.Function(lambda job: {name: job.progress.get(name, 0) for name in PROGRESS})
    attempts = Integer(attribute="attempt")
    created_at = Timestamp()
    started_at = Timestamp()
    finished_at = Timestamp()
    error = fields.Raw()
    result = fields.Raw()


class JobErrorSchema(_Strict):
    """One refused row of a catalogue file."""

    line = Integer()
    column = fields.String()
    value = fields.String()
    code = fields.String()
    detail = fields.String()


def faults_of(error: ValidationError) -> list[FieldFault]:
    """Every fault in a marshmallow error, each with the JSON pointer (RFC 6901) to its place."""
    messages = error.normalized_messages()  # type: ignore[no-untyped-call]
    return [
        FieldFault(_code(fault), str(fault), pointer="".join(path))
        for path, fault in _walk(messages, ())
    ]


def _walk(messages: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(messages, dict):
        return [
            found
            for key, inner in messages.items()
            for found in _walk(inner, path if key == "_schema" else (*path, _token(key)))
        ]
    if isinstance(messages, list):
        return [(path, message) for message in messages]
    return [(path, messages)]


def _token(key: object) -> str:
    return "/" + str(key).replace("~", "~0").replace("/", "~1")


def _code(fault: Any) -> str:
    return fault.code if isinstance(fault, Fault) else "invalid"
