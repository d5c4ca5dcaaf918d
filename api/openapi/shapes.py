"""The marshmallow schemas as components of the document: answered, sent, and sent as a patch."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from marshmallow import Schema, fields, missing

from api.openapi.notes import FIELDS
from api.openapi.rules import shape_of
from models import JSONObject
from schemas import BatchItemSchema, ImageSchema, ProductSchema, VariantFields, VariantSchema


class Use(Enum):
    """What a schema describes; the value is what its component's name ends in."""

    ANSWER = ""  # every field is there
    PART = "Part"  # an answer to a request with `fields`: some of them are there
    INPUT = "Input"  # something new: what can be done without is optional
    REPLACEMENT = "Replacement"  # the same for something that is there, answers sent back too
    PATCH = "Patch"  # a merge patch: everything is optional, and null takes a value away

    @property
    def is_sent(self) -> bool:
        """Whether it describes what clients send."""
        return self not in (Use.ANSWER, Use.PART)

    @property
    def is_whole(self) -> bool:
        """Whether what is absent from it falls back to its default."""
        return self in (Use.INPUT, Use.REPLACEMENT)


# What catalog/products.py takes besides the schema's fields, and fills in before it validates.
_BESIDE: Mapping[type[Schema], type[Schema]] = {
    ProductSchema: VariantFields,
    BatchItemSchema: VariantFields,
}
_FILLED_IN: Mapping[type[Schema], tuple[str, ...]] = {ProductSchema: ("handle", "variants")}
_DERIVED_FROM_NULL: Mapping[type[Schema], tuple[str, ...]] = {ProductSchema: ("handle",)}
# The server gives it, and an entry may say by it which variant of a product it means.
_NAMED_BY: Mapping[type[Schema], tuple[str, ...]] = {VariantSchema: ("id",)}
# Nothing tells one from another, and so they always come new.
_NAMELESS = (ImageSchema,)
# A merge patch, whatever it is sent in.
_MERGED = (BatchItemSchema,)


class Shapes:
    """The components that a document refers to, collected while it is built."""

    def __init__(self) -> None:
        self.components: dict[str, JSONObject] = {}

    def of(self, shape: Any, use: Use) -> Any:
        """The shape, with a reference in place of each schema class inside it."""
        if isinstance(shape, type):
            return self._reference(shape, use)
        if isinstance(shape, dict):
            parts = {name: self.of(part, use) for name, part in shape.items()}
            return self._named(parts) if isinstance(parts.get("title"), str) else parts
        if isinstance(shape, list | tuple):
            return [self.of(part, use) for part in shape]
        return shape

    def _named(self, shape: JSONObject) -> JSONObject:
        """A shape with a title, as a component: generated clients make a class of it."""
        name = shape.pop("title")
        self.components[name] = shape
        return {"$ref": f"#/components/schemas/{name}"}

    def _reference(self, schema: type[Schema], use: Use) -> JSONObject:
        if use is Use.PART:  # only if the request asks for it
            return {"anyOf": [self._add(schema, Use.ANSWER), self._add(schema, Use.PART)]}
        if use.is_sent and schema in _NAMELESS:
            return self._add(schema, Use.INPUT)
        return self._add(schema, Use.PATCH if schema in _MERGED else use)

    def _add(self, schema: type[Schema], use: Use) -> JSONObject:
        name = schema.__name__.removesuffix("Schema") + use.value
        if name not in self.components:
            self.components[name] = {}  # before its parts, and known to them
            whole = Use.ANSWER if use is Use.PART else use
            self.components[name] |= self.of(_object(schema, use), whole)
        return {"$ref": f"#/components/schemas/{name}"}


def _object(schema: type[Schema], use: Use) -> JSONObject:
    properties = _properties(schema, use)
    shape: JSONObject = {"type": "object", "properties": properties}
    if use is Use.ANSWER:
        shape["required"] = list(properties)
    if use.is_whole:
        optional = _FILLED_IN.get(schema, ())
        all_fields = schema().fields
        needed = [n for n in properties if all_fields[n].required and n not in optional]
        if needed:
            shape["required"] = needed
    if use.is_sent:
        shape["additionalProperties"] = False
        if beside := _BESIDE.get(schema):
            own = _properties(beside, use)
            for part in own.values():
                part.pop("default", None)  # clients send it, and it would stand beside variants
            for name in own.keys() & FIELDS.get(schema, {}).keys():
                own[name]["description"] = FIELDS[schema][name]
            shape["properties"] = properties | own
            shape["not"] = {**_has("variants"), "anyOf": [_has(name) for name in own]}
    return shape


def _has(name: str) -> JSONObject:
    return {"required": [name], "properties": {name: {}}}


def _properties(schema: type[Schema], use: Use) -> JSONObject:
    known = schema().fields
    if use is Use.INPUT:
        known = {name: field for name, field in known.items() if not field.dump_only}
    return {name: _property(schema, name, field, use) for name, field in known.items()}


def _property(schema: type[Schema], name: str, field: fields.Field[Any], use: Use) -> JSONObject:
    is_named_by = name in _NAMED_BY.get(schema, ())
    is_written = use.is_sent and (is_named_by or not field.dump_only)
    shape = {**shape_of(field, sent=is_written), **field.metadata.get("shape", {})}
    if is_written and not is_named_by:
        shape = _written(shape, schema, field, use)
    elif field.allow_none:
        shape = _or_null(shape)
    if use.is_sent and not is_written:
        shape["readOnly"] = True
    notes = [FIELDS[kind][name] for kind in schema.__mro__ if name in FIELDS.get(kind, ())]
    if notes:
        shape["description"] = notes[0]
    return shape


def _written(
    shape: JSONObject, schema: type[Schema], field: fields.Field[Any], use: Use
) -> JSONObject:
    default = field.load_default() if callable(field.load_default) else field.load_default
    if use.is_whole:
        if field.allow_none or field.name in _DERIVED_FROM_NULL.get(schema, ()):
            return _or_null(shape)
        return shape if default is missing else {**shape, "default": default}
    if "additionalProperties" in shape:
        shape = {**shape, "additionalProperties": _or_null(shape["additionalProperties"])}
    return _or_null(shape) if field.allow_none or default is not missing else shape


def _or_null(shape: JSONObject) -> JSONObject:
    kinds = shape["type"] if isinstance(shape["type"], list) else [shape["type"]]
    either = {**shape, "type": [*kinds, "null"]}
    return either | {"enum": [*shape["enum"], None]} if "enum" in shape else either
