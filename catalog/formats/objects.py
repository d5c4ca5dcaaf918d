"""Product objects as the API writes them, from a file of JSON into products.

The rules are those of the API: its schema reads them. What an object does not name keeps what is
stored, null clears it, and what only the server writes may be there and counts for nothing.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from marshmallow import ValidationError

import strict_json
import values
from catalog.formats import encodings
from catalog.formats.encodings import Encoding
from catalog.formats.rows import Group, ProductRows, Refusal, Row, VariantRow
from catalog.merging import take_single_variant, without_id
from errors import Fault, FieldFault, Invalid
from models import JSONObject
from schemas import ProductSchema, VariantFields, VariantSchema, faults_of

MEDIA_TYPE = "application/x-ndjson"
MAX_OBJECT = 16 * 1024 * 1024  # characters
_MAX_FAULTS = 20  # that are told of one object
_SCHEMA = ProductSchema()
_PARTIAL = (
    *(name for name in _SCHEMA.fields if name not in ("handle", "variants")),
    *(f"variants.{name}" for name in VariantSchema().fields if name != "options"),
)
# What answers and reports hold besides.
_IGNORED = (
    frozenset(("_line", "_error", "_text", *_SCHEMA.dump_fields)) - _SCHEMA.load_fields.keys()
)

_KNOWN = {*_SCHEMA.load_fields, *VariantFields().fields}
_FIRST = 100  # objects, by which a file is known to be of the API's

# Numbers with a fraction are Decimal here. Only ASCII: there may be halves of surrogate pairs.
encoded = json.JSONEncoder(default=float).encode


@dataclass(frozen=True, slots=True)
class Broken:
    """The text of an object, and the fault that keeps it from being one."""

    text: str
    fault: Fault


def value_of(text: str) -> Any:
    """The value of an object's text, or `Broken`."""
    try:
        if not text.isascii() and encodings.is_misfit(text):
            raise Fault("invalid_encoding", "is not in the encoding of the file")
        return strict_json.value(text)
    except Fault as fault:
        return Broken(text, fault)


class ObjectReader:
    """Reads one file of product objects; `objects` gives each with its line, as often as asked."""

    report_media_type = MEDIA_TYPE

    def __init__(self, name: str, encoding: Encoding, objects: Callable[[], Iterator[Row]]) -> None:
        self._objects = objects
        self.about: JSONObject = {"format": name, "encoding": encoding.name}

    def column_of(self, field: str) -> str | None:
        """The JSON pointer of a product's field."""
        return f"/{field}"

    def keyed(self) -> Iterator[tuple[str, Row]]:
        """Each object with the handle of its product, or what stands for one."""
        return ((_key(row[1]), row) for row in self._objects())

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The objects of these lines, one a line, with `_line` and `_error`."""
        return reported(self._objects(), refused)

    def read(self, group: Group) -> tuple[ProductRows | None, Sequence[Refusal]]:
        """The product of the first object that can be read; others of its handle are refused."""
        refusals: list[Refusal] = []
        product: ProductRows | None = None
        for line, sent in group.rows:
            if product is not None:
                detail = f"is the product of line {product.lines[0]} again"
                refusals.append(Refusal(line, "/handle", product.handle, "duplicate_item", detail))
                continue
            if not isinstance(sent, dict):
                refusals.append(no_object(line, sent))
                continue
            try:
                product = _product(line, sent)
            except Invalid as error:
                refusals += _refusals(line, sent, error.faults[:_MAX_FAULTS])
        detail = "is beyond what one product may hold"
        refusals += [Refusal(line, None, None, "too_many_rows", detail) for line in group.excess]
        return product, refusals


def unknown_names(keyed: Iterable[tuple[str, Row]]) -> list[str]:
    """The names of a file's first objects, if none of these has only names of the API."""
    found = [sent for _, (_, sent) in islice(keyed, _FIRST) if isinstance(sent, dict)]
    if not found or any(_named(sent).keys() <= _KNOWN for sent in found):
        return []
    return list(dict.fromkeys(name for sent in found for name in sent))


def reported(objects: Iterable[Row], refused: Mapping[int, str]) -> Iterator[bytes]:
    """The objects of these lines as NDJSON, with `_line` and `_error`; broken text as `_text`."""
    for line, found in objects:
        if line in refused:
            text = found.text if isinstance(found, Broken) else encoded(found)
            sent = found if isinstance(found, dict) else {"_text": text}
            yield encoded({**sent, "_line": line, "_error": refused[line]}).encode() + b"\n"


def no_object(line: int, found: Any) -> Refusal:
    """Why something is refused that is no object."""
    if isinstance(found, Broken):
        detail = _storable(found.fault.detail)
        return Refusal(line, None, _storable(found.text), found.fault.code, detail)
    return Refusal(line, None, _shown(found), "invalid_type", "must be an object")


def _key(sent: Any) -> str:
    if not isinstance(sent, dict):
        return ""
    named = _named(sent)
    if isinstance(named.get("handle"), str):
        return unicodedata.normalize("NFC", named["handle"].strip())
    # No handle has a slash.
    return f"/{sku}" if (sku := _sku(named)) else _derived(named)


def _named(sent: JSONObject) -> JSONObject:
    return {name: value for name, value in sent.items() if name not in _IGNORED}


def _sku(sent: JSONObject) -> str | None:
    entries = sent.get("variants")
    for entry in (sent, *(entries if isinstance(entries, list) else ())):
        if isinstance(entry, dict) and isinstance(sku := entry.get("sku"), str) and sku.strip():
            return sku.strip()
    return None


def _derived(sent: JSONObject) -> str:
    name = sent.get("name")
    return values.handle_from(name) if isinstance(name, str) and name.strip() else ""


def _product(line: int, sent: JSONObject) -> ProductRows:
    """Raises Invalid, with pointers into the object."""
    named = _named(sent)
    single = take_single_variant(named)
    if named.get("variants", []) == []:
        named["variants"] = [single]
    elif isinstance(named["variants"], list):
        named["variants"] = [without_id(e) if isinstance(e, dict) else e for e in named["variants"]]
    found_by_sku = named.get("handle") is None and _sku(named) is not None
    if named.get("handle") is None:
        named.pop("handle", None)
        if derived := _derived(named):
            named["handle"] = derived
    try:
        partial = (*_PARTIAL, "handle") if found_by_sku else _PARTIAL
        loaded: JSONObject = _SCHEMA.load(named, partial=partial)
    except ValidationError as error:
        faults = faults_of(error)
        if "variants" not in sent:  # the client wrote its fields at the top
            faults = [_at(f, (f.pointer or "").removeprefix("/variants/0")) for f in faults]
        raise Invalid("", faults) from None
    return _rows(line, loaded, found_by_sku=found_by_sku)


def _rows(line: int, loaded: JSONObject, *, found_by_sku: bool) -> ProductRows:
    variants = [
        VariantRow(line, entry.pop("options"), *_said_and_cleared(entry))
        for entry in loaded.pop("variants")
    ]
    names = [name for variant in variants for name in variant.options]
    options = list(dict.fromkeys([*loaded.pop("options", ()), *names]))
    images = loaded.pop("images", [])
    handle = loaded.pop("handle", "")
    if "metadata_" in loaded:
        loaded["metadata"] = loaded.pop("metadata_")
    fields, cleared = _said_and_cleared(loaded)
    return ProductRows(
        handle, [line], fields, options, images, variants, cleared, found_by_sku=found_by_sku
    )


def _said_and_cleared(loaded: JSONObject) -> tuple[JSONObject, frozenset[str]]:
    said = {name: value for name, value in loaded.items() if value is not None}
    return said, frozenset(loaded.keys() - said.keys())


def _at(fault: FieldFault, pointer: str) -> FieldFault:
    return FieldFault(fault.code, fault.detail, pointer)


def _refusals(line: int, sent: Any, faults: Iterable[FieldFault]) -> Iterator[Refusal]:
    for fault in faults:
        pointer = fault.pointer or None
        value = _shown(_found(sent, fault.pointer or ""))
        column = None if pointer is None else _storable(pointer)
        yield Refusal(line, column, value, fault.code, _storable(fault.detail))


def _found(sent: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(sent, dict):
            sent = sent.get(name)
        elif isinstance(sent, list) and name.isdecimal() and int(name) < len(sent):
            sent = sent[int(name)]
        else:
            return None
    return sent


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return _storable(value if isinstance(value, str) else encoded(value))


def _storable(text: str) -> str:
    return values.storable(text, 200)
