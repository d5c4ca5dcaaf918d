"""Our own CSV: the API's field names as headings, one row per variant.

Tags are separated by commas, the addresses of images by spaces; `metadata` is a JSON object.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat, FlatReader
from catalog.formats.rows import Extent, Open, Options, Reader, Writer
from catalog.formats.sheets import SheetWriter
from catalog.formats.spare import EXACT, Told, exact_cell, ordered_options, plain, told
from catalog.formats.table import Table
from errors import Fault
from models import PRODUCT_STATUSES, JSONObject
from schemas import MAX_OPTIONS


def _status(cell: str) -> str:
    word = cell.strip()
    if word not in PRODUCT_STATUSES:
        raise Fault("not_a_choice", f"is none of: {', '.join(PRODUCT_STATUSES)}")
    return word


def _images(cell: str) -> list[JSONObject]:
    return [{"url": url, "alt": None} for url in dict.fromkeys(map(values.url, cell.split()))]


NAME = "native"
FORMAT = FlatFormat(
    name=NAME,
    handle_columns=("handle",),
    product=(
        ("name", "name", cells.name),
        ("description", "description", values.description),
        ("status", "status", _status),
        ("vendor", "vendor", cells.label),
        ("category", "category", cells.name),
        ("tags", "tags", cells.tags),
        ("images", "images", _images),
        ("metadata", "metadata", cells.json_object),
    ),
    variant=(
        ("sku", "sku", cells.code),
        ("price", "price", cells.money),
        ("compare_at_price", "compare_at_price", cells.money),
        ("barcode", "barcode", cells.code),
        ("weight_grams", "weight_grams", cells.weight_grams),
        ("stock", "stock", cells.integer),
        ("backorder", "backorder", cells.boolean),
    ),
    option_pairs=tuple((f"option{n}_name", f"option{n}_value") for n in range(1, MAX_OPTIONS + 1)),
)


def matches(columns: frozenset[str]) -> bool:
    """Whether a heading, in lower case, is ours."""
    return "handle" in columns and "title" not in columns


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file. Raises Unreadable."""
    return FlatReader(FORMAT, Table(open_, options), options)


_encode = json.JSONEncoder(ensure_ascii=False).encode
_OF_PRODUCT = tuple(name for name, _, _ in FORMAT.product)
_OF_VARIANT = tuple(name for name, _, _ in FORMAT.variant)


def write(extent: Extent) -> Writer:
    """A writer of this format."""
    places = min(extent.options, MAX_OPTIONS)
    options = [name for pair in FORMAT.option_pairs[:places] for name in pair]
    heading = ["handle", *_OF_PRODUCT, *options, *_OF_VARIANT, EXACT]
    return SheetWriter(heading, lambda product: _rows(product, places))


def _rows(product: JSONObject, places: int) -> Iterator[dict[str, str]]:
    options_of = ordered_options(product)
    found = list(dict.fromkeys(name for options in options_of for name in options))
    names = [name for name in product["options"] if name in found][:places]
    exact: Told = {}
    first = _product_cells(product, exact)
    said = {} if found == product["options"] else {"options": product["options"]}
    for variant, options in zip(product["variants"], options_of, strict=True):
        if not options.keys() <= set(names):
            said["identity"] = options
        row = first | _variant_cells(variant, exact)
        for name, (name_column, value_column) in zip(names, FORMAT.option_pairs, strict=False):
            row[name_column], row[value_column] = name, options.get(name, "")
        yield {**row, "handle": product["handle"], EXACT: exact_cell(exact, **said)}
        exact, said, first = {}, {}, {}


def _product_cells(product: JSONObject, exact: Told) -> dict[str, str]:
    shown: dict[str, Callable[[Any], str]] = {
        "tags": ", ".join,
        "images": _addresses,
        "metadata": _encode,
    }
    return {
        heading: told(exact, heading, product[field] or None, rule, shown.get(field, str))
        for heading, field, rule in FORMAT.product
    }


def _addresses(images: list[JSONObject]) -> str:
    return " ".join(image["url"] for image in images)


def _variant_cells(variant: JSONObject, exact: Told) -> dict[str, str]:
    return {
        "sku": told(exact, "sku", variant["sku"], cells.code),
        "price": variant["price"] or "",
        "compare_at_price": variant["compare_at_price"] or "",
        "barcode": told(exact, "barcode", variant["barcode"], cells.code),
        "weight_grams": plain(variant["weight_grams"]),
        "stock": "" if variant["stock"] is None else str(variant["stock"]),
        "backorder": "true" if variant["backorder"] else "false",
    }
