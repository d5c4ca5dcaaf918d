"""`ma` and every marshmallow schema: the public shape of each resource, declared once.

`ProductSchema` validates what clients send, and is also what `catalog/documents.py` turns into
the SQL that renders a product's stored document.
"""

from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from flask_marshmallow import Marshmallow
from marshmallow import RAISE, ValidationError, fields, validates_schema

import values
from errors import Fault, FieldFault, Invalid
from models import (
    DELIVERY_STATUSES,
    EVENT_TYPES,
    JOB_STATUSES,
    KEY_SCOPES,
    MAIL_STATUSES,
    ORDER_STATUSES,
    PRODUCT_STATUSES,
    STOCK_REASONS,
    JSONObject,
)

ma = Marshmallow()

MAX_VARIANTS = 2048
MAX_IMAGES = 250
MAX_TAGS = 250
MAX_OPTIONS = 20
MAX_BATCH = 500
MAX_LINES = 200  # of an order
MAX_ADJUSTMENTS = 500


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
    if isinstance(value, values.Scientific):
        raise refused(Fault("not_a_number", "must be written without an exponent"))
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
        return None if value is None else rfc3339(value)


def rfc3339(moment: datetime) -> str:
    """A moment as every answer writes it: in UTC, with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
        super().__init__(partial(values.choice, choices), **kwargs)
        self.choices = choices


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


class SkuVariantSchema(VariantSchema):
    """A variant at the address of its SKU; what tells it apart is changed with its product."""

    sku = Text(values.label, dump_only=True)
    options = Value(option_values, dump_only=True)
    product_id = Integer(dump_only=True)
    product_handle = Text(values.handle, dump_only=True)

    class Meta:
        unknown = RAISE
        fields = (*VariantSchema.Meta.fields, "product_id", "product_handle")


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


BATCH_MODES = ("atomic", "partial")


class BatchItemSchema(ProductSchema):
    """An item of a batch: a merge patch of the product that it means, or else a new product."""

    id = Integer()
    handle = Text(values.handle, load_default=None)
    name = Text(values.name)
    variants = Items(Embedded(VariantSchema), MAX_VARIANTS)


class Unread(Items):
    """An array whose items are read one by one, later; `inner` tells what they should be."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        return value


class BatchSchema(_Strict):
    """Many products at once; `atomic` stores all or nothing, `partial` what it can."""

    mode = Choice(BATCH_MODES, load_default="atomic")
    products = Unread(Embedded(BatchItemSchema), MAX_BATCH, required=True)


# `total`, `processed` and `failed` count a file's rows, the others its products.
PROGRESS = ("total", "processed", "created", "updated", "unchanged", "failed")


class Made(fields.Function):
    """A read-only value made from the row; `shape` is its JSON Schema."""

    def __init__(self, make: Callable[[Any], Any], shape: JSONObject, **kwargs: Any) -> None:
        super().__init__(make, metadata={"shape": shape}, **kwargs)


def _object(**properties: str) -> JSONObject:
    shapes = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "required": list(properties), "properties": shapes}


def _links(*names: str) -> JSONObject:
    """Addresses that the API adds; of a job, the first two are always there."""
    return {**_object(**dict.fromkeys(names, "string")), "required": list(names[:2])}


def _eta_seconds(job: Any) -> int | None:
    """How long a job will take at the rate of its current attempt; None while that is unknown."""
    if job.status != "running" or job.pace_since is None:
        return None
    processed, total = (job.progress.get(name, 0) for name in ("processed", "total"))
    seconds = (datetime.now(UTC) - job.pace_since).total_seconds()
    done = processed - job.pace_from
    return max(0, round(seconds * (total - processed) / done)) if total and done > 0 else None


class JobSchema(_Strict):
    """A piece of background work, as its owner watches it."""

    id = Integer()
    kind = fields.String()
    status = Choice(JOB_STATUSES)
    ready = Made(lambda job: job.finished_at is not None, {"type": "boolean"})
    successful = Made(lambda job: job.status == "succeeded", {"type": "boolean"})
    progress = Made(
        lambda job: {name: job.progress.get(name, 0) for name in PROGRESS},
        _object(**dict.fromkeys(PROGRESS, "integer")),
    )
    eta_seconds = Made(_eta_seconds, {"type": ["integer", "null"], "minimum": 0})
    attempts = Integer(attribute="attempt")
    created_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    finished_at = Timestamp(allow_none=True)
    error = fields.Raw(allow_none=True, metadata={"shape": _object(code="string", detail="string")})
    result = fields.Raw(allow_none=True, metadata={"shape": {"type": "object"}})
    links = fields.Raw(metadata={"shape": _links("self", "errors", "result", "cancel", "retry")})


class JobErrorSchema(_Strict):
    """One refused row of a catalogue file."""

    line = Integer()
    column = fields.String(allow_none=True)
    value = fields.String(allow_none=True)
    code = fields.String()
    detail = fields.String()


class Moment(Timestamp):
    """A time that clients may set, with its offset from UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return values.timestamp(values.text(value, values.LABEL_LIMIT))
        except Fault as fault:
            raise refused(fault) from None


class EventSchema(_Strict):
    """Something that has happened, as it stands in the feed and is sent to webhooks."""

    id = fields.String()
    type = fields.String()
    timestamp = Timestamp()
    data = fields.Raw(metadata={"shape": {"type": "object"}})


class WebhookSchema(_Strict):
    """An address that is told of events, without the secret that signs what it is told."""

    id = Integer(dump_only=True)
    url = Text(values.endpoint, required=True)
    types = Distinct(Choice(EVENT_TYPES), len(EVENT_TYPES), load_default=list)
    enabled = Flag(load_default=True)
    disabled_because = Choice(("gone", "failing"), dump_only=True, allow_none=True)
    failures = Integer(dump_only=True)
    paused_until = Timestamp(dump_only=True, allow_none=True)
    created_at = Timestamp(dump_only=True)
    updated_at = Timestamp(dump_only=True)


class NewWebhookSchema(WebhookSchema):
    """A webhook as it is answered once, when it is made: with its secret."""

    secret = fields.String(dump_only=True, allow_none=True)


class DeliverySchema(_Strict):
    """An event on its way to a webhook: how often it was tried, and what came of it."""

    id = Integer()
    webhook_id = Integer()
    event_id = Made(lambda row: f"evt_{row.event_id}", {"type": "string"})
    type = Choice(EVENT_TYPES)
    status = Choice(DELIVERY_STATUSES)
    attempts = Integer()
    due_at = Timestamp()
    response_status = Integer(allow_none=True)
    response = fields.String(allow_none=True)
    error = fields.String(allow_none=True)
    created_at = Timestamp()
    attempted_at = Timestamp(allow_none=True)


class ReplaySchema(_Strict):
    """Where a webhook is to be told again from."""

    event_id = Value(values.event_id, required=True)


class KeySchema(_Strict):
    """A key of the API, without the secret that makes it one."""

    id = Integer(dump_only=True)
    prefix = fields.String(dump_only=True)
    name = Text(values.label, required=True)
    scopes = Distinct(
        Choice(KEY_SCOPES), len(KEY_SCOPES), required=True, metadata={"shape": {"minItems": 1}}
    )
    created_by = fields.String(dump_only=True, allow_none=True)
    created_at = Timestamp(dump_only=True)
    expires_at = Moment(allow_none=True, load_default=None)
    last_used_at = Timestamp(dump_only=True, allow_none=True)
    revoked_at = Timestamp(dump_only=True, allow_none=True)

    @validates_schema(skip_on_field_errors=True)
    def check_use(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse a key that could never do anything."""
        if not data["scopes"]:
            raise refused(Fault("required", "must name a scope"), "scopes")
        if data["expires_at"] is not None and data["expires_at"] <= datetime.now(UTC):
            raise refused(Fault("in_the_past", "must lie in the future"), "expires_at")


class NewKeySchema(KeySchema):
    """A key as it is answered once, when it is made: `key` is what goes behind `Bearer`."""

    key = fields.String(dump_only=True, allow_none=True)


class NamesVariant(_Strict):
    """What names a variant: its id, or its SKU if no other carries it."""

    variant_id = Whole(values.variant_id)
    sku = Text(values.label, allow_none=True)

    @validates_schema(skip_on_field_errors=True)
    def check_name(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse an entry that names none, or both ways at once."""
        given = {name for name in data if data[name] is not None}  # a SKU may be null
        _check_one_of(given, "variant_id", "sku")


def _check_one_of(given: Container[str], name: str, other: str) -> None:
    if name in given and other in given:
        raise refused(Fault("both_at_once", f"stands beside {name}: give one of them"), other)
    if name not in given and other not in given:
        raise refused(Fault("required", f"must be there, unless {other} is"), name)


class OrderLineSchema(NamesVariant):
    """One variant that is bought, and how many pieces of it."""

    quantity = Whole(values.quantity, required=True)
    product_id = Integer(dump_only=True)
    name = fields.String(dump_only=True)
    options = Value(option_values, dump_only=True)
    unit_price = Money(dump_only=True)
    total = Money(dump_only=True)

    class Meta:
        unknown = RAISE
        fields = (
            *("product_id", "variant_id", "sku", "name", "options"),
            *("quantity", "unit_price", "total"),
        )


class ConfirmationSchema(_Strict):
    """What has become of the mail that confirms an order."""

    status = Choice(MAIL_STATUSES)
    reason = fields.String(allow_none=True)
    sent_at = Timestamp(allow_none=True)


class OrderSchema(_Strict):
    """An order, as it is sent and as its owner sees it."""

    id = fields.String(attribute="public_id", dump_only=True)
    status = Choice(ORDER_STATUSES, dump_only=True)
    email = Text(values.email, required=True)
    note = Text(values.note, allow_none=True, load_default=None)
    metadata = FreeObject(load_default=dict)
    lines = Items(
        Embedded(OrderLineSchema), MAX_LINES, required=True, metadata={"shape": {"minItems": 1}}
    )
    currency = fields.String(dump_only=True)
    total = Money(dump_only=True)
    created_at = Timestamp(dump_only=True)
    updated_at = Timestamp(dump_only=True)
    canceled_at = Timestamp(dump_only=True, allow_none=True)
    confirmation = fields.Raw(
        dump_only=True, metadata={"shape": {"anyOf": [ConfirmationSchema, {"type": "null"}]}}
    )

    @validates_schema(skip_on_field_errors=True)
    def check_lines(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse an order of nothing."""
        if not data["lines"]:
            raise refused(Fault("required", "must hold a line"), "lines")


class NewOrderSchema(OrderSchema):
    """An order as it is answered when it is placed: `token` shows it to those without a key."""

    token = fields.String(dump_only=True)


class AdjustmentSchema(NamesVariant):
    """A change of one variant's stock."""

    delta = Whole(values.stock)
    set = Whole(values.stock, allow_none=True)  # null: not tracked any more
    expected = Whole(values.stock, allow_none=True)
    reason = Text(values.label, required=True)

    @validates_schema(skip_on_field_errors=True)
    def check_change(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse an entry that changes nothing, or in two ways."""
        _check_one_of(data, "delta", "set")


class AdjustmentsSchema(_Strict):
    """Changes of stock, of which all are made or none."""

    adjustments = Items(Embedded(AdjustmentSchema), MAX_ADJUSTMENTS, required=True)


class AdjustedSchema(_Strict):
    """A variant's stock after an adjustment."""

    variant_id = Integer()
    product_id = Integer()
    sku = fields.String(allow_none=True)
    delta = Integer()
    stock = Integer(allow_none=True)


class StockMovementSchema(_Strict):
    """One change of a variant's stock."""

    id = Integer()
    variant_id = Integer()
    product_id = Integer()
    sku = fields.String(allow_none=True)
    delta = Integer()
    stock_after = Integer(allow_none=True)
    reason = Choice(STOCK_REASONS)
    reference = fields.String(allow_none=True)
    created_at = Timestamp()


def invalid_by(error: ValidationError) -> Invalid:
    """A marshmallow error as one of ours, with every fault."""
    faults = faults_of(error)
    first = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    detail = first if len(faults) == 1 else f"{len(faults)} fields are invalid, first {first}"
    return Invalid(detail, faults)


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
