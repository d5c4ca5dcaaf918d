"""Shopify's product CSV, both generations of headings.

Source: Shopify's product CSV documentation and real exports. Rows that share a handle are one
product; a row with an option value is a variant, one without adds an image.
"""

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat, FlatReader
from catalog.formats.rows import Open, Options, Reader
from catalog.formats.table import Table
from errors import Fault
from models import JSONObject

# `unlisted` products are sold to whoever has the link and appear in no list.
_STATUSES = {"active": "active", "draft": "draft", "archived": "archived", "unlisted": "draft"}
_POLICIES = {"continue": True, "deny": False, "true": True, "false": False}


def _status(cell: str) -> str:
    try:
        return _STATUSES[cell.strip().lower()]
    except KeyError:
        raise Fault("not_a_choice", f"is none of: {', '.join(_STATUSES)}") from None


def _backorder(cell: str) -> bool:
    try:
        return _POLICIES[cell.strip().lower()]
    except KeyError:
        raise Fault("not_a_choice", "is neither deny nor continue") from None


def _finish_product(fields: JSONObject, _: frozenset[str]) -> None:
    """What is not published is a draft here, so that no visitor sees it."""
    published = fields.pop("published", None)
    if published is not None and fields.get("status", "active") == "active":
        fields["status"] = "active" if published else "draft"


def _finish_variant(fields: JSONObject, columns: frozenset[str]) -> None:
    """A quantity counts only where a tracker is named: Shopify writes 0 for what it ignores."""
    tracked = fields.pop("tracker", None)
    if tracked is None and columns & {"variant inventory tracker", "inventory tracker"}:
        fields.pop("stock", None)


def _finish_options(options: dict[str, str]) -> dict[str, str]:
    """`Default Title` is how Shopify writes a product without options, whatever their name."""
    return {} if list(options.values()) == ["Default Title"] else options


NAME = "shopify"
_FORMAT = FlatFormat(
    name=NAME,
    handle_columns=("handle", "url handle"),
    product=(
        ("title", "name", cells.name),
        ("body (html)", "description", values.description),
        ("description", "description", values.description),
        ("vendor", "vendor", cells.label),
        ("product category", "category", cells.name),
        ("type", "category", cells.name),
        ("tags", "tags", cells.tags),
        ("status", "status", _status),
        ("published", "published", cells.boolean),
        ("published on online store", "published", cells.boolean),
    ),
    variant=(
        ("variant sku", "sku", cells.code),
        ("sku", "sku", cells.code),
        ("variant price", "price", cells.money),
        ("price", "price", cells.money),
        ("variant compare at price", "compare_at_price", cells.money),
        ("compare-at price", "compare_at_price", cells.money),
        ("compare at price", "compare_at_price", cells.money),
        ("variant barcode", "barcode", cells.code),
        ("barcode", "barcode", cells.code),
        ("variant grams", "weight_grams", cells.weight_grams),
        ("weight value (grams)", "weight_grams", cells.weight_grams),
        ("weight in grams", "weight_grams", cells.weight_grams),
        ("variant inventory tracker", "tracker", cells.label),
        ("inventory tracker", "tracker", cells.label),
        ("variant inventory qty", "stock", cells.integer),
        ("inventory quantity", "stock", cells.integer),
        ("variant inventory policy", "backorder", _backorder),
        ("continue selling when out of stock", "backorder", _backorder),
    ),
    option_pairs=tuple((f"option{n} name", f"option{n} value") for n in (1, 2, 3)),
    image=(
        ("image src", "url", values.url),
        ("product image url", "url", values.url),
        ("image url", "url", values.url),
        ("image position", "position", cells.integer),
        ("image alt text", "alt", cells.name),
    ),
    finish_product=_finish_product,
    finish_variant=_finish_variant,
    finish_options=_finish_options,
)


def matches(columns: frozenset[str]) -> bool:
    """Whether a heading, in lower case, is one of Shopify's."""
    return bool(columns & {"handle", "url handle"}) and "title" in columns


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file. Raises Unreadable."""
    return FlatReader(_FORMAT, Table(open_, options), options)
