"""Our own CSV: the API's field names as headings, one row per variant."""

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat, FlatReader
from catalog.formats.rows import Open, Options, Reader
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
_FORMAT = FlatFormat(
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
    return FlatReader(_FORMAT, Table(open_, options), options)
