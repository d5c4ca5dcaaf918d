"""Shopify's product CSV: both generations of headings are read, the newer one is written.

Source: Shopify's product CSV documentation and real exports. Rows that share a handle are one
product; a row with an option value is a variant, one without adds an image.
"""

from collections.abc import Mapping, Sequence

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat, FlatReader
from catalog.formats.rows import Extent, Open, Options, Reader, Writer
from catalog.formats.sheets import SheetWriter
from catalog.formats.spare import (
    EXACT,
    MetadataColumns,
    Told,
    exact_cell,
    ordered_options,
    plain,
    told,
    variant_key,
)
from catalog.formats.table import Table
from errors import Fault
from models import PRODUCT_STATUSES, JSONObject
from schemas import MAX_OPTIONS

# `unlisted` products are sold to whoever has the link and appear in no list.
_STATUSES = (*PRODUCT_STATUSES, "unlisted")
_POLICIES = {"continue": True, "deny": False, "true": True, "false": False}
# Where the words of a file are kept in `metadata` that our own status does not tell.
_STATUS, _PUBLISHED = "Status", "Published on online store"


def _status(cell: str) -> str:
    word = cell.strip().lower()
    if word not in _STATUSES:
        raise Fault("not_a_choice", f"is none of: {', '.join(_STATUSES)}")
    return word


def _backorder(cell: str) -> bool:
    try:
        return _POLICIES[cell.strip().lower()]
    except KeyError:
        raise Fault("not_a_choice", "is neither deny nor continue") from None


def _finish_product(fields: JSONObject, _: frozenset[str]) -> None:
    """What is unlisted or not published is a draft here, so that no visitor sees it."""
    word, published = fields.pop("status", None), fields.pop("published", None)
    if word is None and published is None:
        return
    status = "draft" if word == "unlisted" else word or "active"
    if published is False and status == "active":
        status = "draft"
    fields["status"] = status
    kept = {}
    if word is not None and word != status:
        kept[_STATUS] = word
    if published is not None and published is not (status == "active" or word == "unlisted"):
        kept[_PUBLISHED] = "TRUE" if published else "FALSE"
    if kept:
        fields["metadata"] = kept | fields.get("metadata", {})


def _finish_variant(fields: JSONObject, columns: frozenset[str]) -> None:
    """A quantity counts only where a tracker is named: Shopify writes 0 for what it ignores."""
    tracked = fields.pop("tracker", None)
    if tracked is None and columns & {"variant inventory tracker", "inventory tracker"}:
        fields.pop("stock", None)


# Columns without a place that Shopify has for each variant, whatever the generation.
_OF_VARIANTS = (
    *("cost per item", "charge tax", "tax code", "requires shipping", "fulfillment service"),
    "weight unit for display",
)
_OF_VARIANTS_BEGIN = (
    "variant ",
    "unit price ",
    "price / ",
    "compare at price /",
    "compare-at price /",
)


def _is_about_variants(heading: str) -> bool:
    return heading in _OF_VARIANTS or heading.startswith(_OF_VARIANTS_BEGIN)


def finish_options(options: dict[str, str]) -> dict[str, str]:
    """`Default Title` is how Shopify writes a product without options, whatever their name."""
    return {} if list(options.values()) == ["Default Title"] else options


NAME = "shopify"
OPTION_PAIRS = tuple((f"option{n} name", f"option{n} value") for n in range(1, MAX_OPTIONS + 1))
# Shopify has three options and no more: the other columns are our own exports'.
_SHOPIFYS_OPTIONS = 3
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
    option_pairs=OPTION_PAIRS,
    image=(
        ("image src", "url", values.url),
        ("product image url", "url", values.url),
        ("image url", "url", values.url),
        ("image position", "position", cells.integer),
        ("image alt text", "alt", cells.name),
    ),
    about_variants=_is_about_variants,
    finish_product=_finish_product,
    finish_variant=_finish_variant,
    finish_options=finish_options,
)


def matches(columns: frozenset[str]) -> bool:
    """Whether a heading, in lower case, is one of Shopify's."""
    return bool(columns & {"handle", "url handle"}) and "title" in columns


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file. Raises Unreadable."""
    return FlatReader(_FORMAT, Table(open_, options), options)


# The newer headings: they are what Shopify exports and documents today, and the older ones say
# no more. What follows Shopify's own columns loses nothing, and Shopify leaves it alone.
_HEADING = (
    *("Title", "URL handle", "Description", "Vendor", "Product category", "Type", "Tags"),
    *(_PUBLISHED, _STATUS, "SKU", "Barcode"),
    *(f"Option{n} {part}" for n in range(1, _SHOPIFYS_OPTIONS + 1) for part in ("name", "value")),
    *("Price", "Compare-at price", "Inventory tracker", "Inventory quantity"),
    *("Continue selling when out of stock", "Weight value (grams)"),
    *("Product image URL", "Image position", "Image alt text"),
)
_TAKEN = frozenset(
    {
        *_FORMAT.handle_columns,
        *(name for name, _, _ in (*_FORMAT.product, *_FORMAT.variant, *_FORMAT.image)),
        *(name for pair in _FORMAT.option_pairs for name in pair),
    }
)


def write(extent: Extent) -> Writer:
    """A writer of Shopify's newer headings."""
    spare = MetadataColumns(extent.metadata, _TAKEN, _is_about_variants)
    places = max(_SHOPIFYS_OPTIONS, min(extent.options, MAX_OPTIONS))
    beyond = [
        f"Option{n} {part}"
        for n in range(_SHOPIFYS_OPTIONS + 1, places + 1)
        for part in ("name", "value")
    ]
    heading = [*_HEADING, *beyond, *spare.headings, EXACT]
    return SheetWriter(heading, lambda product: _rows(product, spare, places))


def _rows(product: JSONObject, spare: MetadataColumns, places: int) -> list[dict[str, str]]:
    options_of = ordered_options(product)
    found = list(dict.fromkeys(name for options in options_of for name in options))
    names = [*(n for n in product["options"] if n in found), *found]
    names = list(dict.fromkeys(names))[:places]
    rows, rest = spare.cells(product["metadata"], [variant_key(o) for o in options_of])
    exact: Told = {}
    first = _product_cells(product, rest, exact)
    images = product["images"]
    said: JSONObject = {"metadata": rest}
    if found != product["options"]:
        said["options"] = product["options"]
    if len({image["url"] for image in images}) < len(images):
        said["images"], images = images, []
    for row, variant, options in zip(rows, product["variants"], options_of, strict=True):
        if finish_options({n: options[n] for n in names if n in options}) != options:
            said["identity"] = options
        row.update(first | _variant_cells(variant, exact) | _option_cells(names, options))
        row[EXACT] = exact_cell(exact, **said)
        exact, said, first = {}, {}, {}
    return _with_images(rows, product["handle"], images)


def _product_cells(product: JSONObject, metadata: JSONObject, exact: Told) -> dict[str, str]:
    """The cells about the product; takes out of `metadata` what they say of it."""
    row = {
        "Title": told(exact, "Title", product["name"], cells.name),
        "Description": told(exact, "Description", product["description"], values.description),
        "Vendor": told(exact, "Vendor", product["vendor"], cells.label),
        "Tags": told(exact, "Tags", product["tags"], cells.tags, ", ".join),
    }
    return row | _category_cells(product["category"], metadata) | _status_cells(product, metadata)


def _category_cells(category: str | None, metadata: JSONObject) -> dict[str, str]:
    """A path is one of Shopify's product categories; a plain word is a type, which is free."""
    type_ = metadata.get("Type")
    if category is None:
        return {}
    if isinstance(type_, str) and type_.strip() not in ("", category):
        del metadata["Type"]
        return {"Product category": category, "Type": type_}
    return {"Product category" if " > " in category else "Type": category}


def _status_cells(product: JSONObject, metadata: JSONObject) -> dict[str, str]:
    """Status and publication, as the file had them that they come from, if that still holds."""
    status = product["status"]
    kept = {name: metadata[name] for name in (_STATUS, _PUBLISHED) if name in metadata}
    word, published = kept.get(_STATUS, status), kept.get(_PUBLISHED)
    if published is None:
        published = "TRUE" if word == "unlisted" or status == "active" else "FALSE"
    if word in _STATUSES and published in ("TRUE", "FALSE"):
        read: JSONObject = {"status": word, "published": published == "TRUE"}
        _finish_product(read, frozenset())
        if read == {"status": status} | ({"metadata": kept} if kept else {}):
            for name in kept:
                del metadata[name]
            return {_STATUS: word, _PUBLISHED: published}
    return {_STATUS: status, _PUBLISHED: "TRUE" if status == "active" else "FALSE"}


def _variant_cells(variant: JSONObject, exact: Told) -> dict[str, str]:
    stock = variant["stock"]
    return {
        "SKU": told(exact, "SKU", variant["sku"], cells.code),
        "Barcode": told(exact, "Barcode", variant["barcode"], cells.code),
        "Price": variant["price"] or "",
        "Compare-at price": variant["compare_at_price"] or "",
        "Inventory tracker": "" if stock is None else "shopify",
        "Inventory quantity": "" if stock is None else str(stock),
        "Continue selling when out of stock": "CONTINUE" if variant["backorder"] else "DENY",
        "Weight value (grams)": plain(variant["weight_grams"]),
    }


def _option_cells(names: Sequence[str], options: Mapping[str, str]) -> dict[str, str]:
    if not options:
        return {"Option1 name": next(iter(names), "Title"), "Option1 value": "Default Title"}
    row: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        row |= {f"Option{number} name": name, f"Option{number} value": options.get(name, "")}
    return row


def _with_images(
    rows: list[dict[str, str]], handle: str, images: Sequence[JSONObject]
) -> list[dict[str, str]]:
    """The rows of a product, each with one of its images; further rows for further images."""
    rows += [{} for _ in images[len(rows) :]]
    for number, (row, image) in enumerate(zip(rows, images, strict=False), 1):
        row["Product image URL"] = image["url"]
        row["Image position"] = str(number)
        row["Image alt text"] = image["alt"] or ""
    for row in rows:
        row["URL handle"] = handle
    return rows
