"""Writes WooCommerce's product CSV.

A product of one variant without options is a simple one; any other is a variable one with its
variations below it. Weights are in kilograms: whoever's shop weighs in pounds maps that column.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from catalog.formats import cells
from catalog.formats import woocommerce_columns as columns
from catalog.formats.rows import Extent, Group, Open, Reader
from catalog.formats.sheets import SheetWriter, encoded, guarded
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
from errors import Fault
from models import JSONObject

_HEADING = (
    *("Type", "SKU", "GTIN, UPC, EAN, or ISBN", "Name", "Published", "Description", "Stock"),
    *("Backorders allowed?", "Weight (kg)", "Sale price", "Regular price", "Categories", "Tags"),
    *("Images", "Parent", "Brands"),
)
_GRAMS = Decimal(1000)
_MAX_ATTRIBUTES = 100
_OTHERS = frozenset(("handle", "url handle"))  # headings by which other formats are told

_Rows = list[dict[str, str]]


class WooWriter(SheetWriter):
    """Writes products; `reader_of` opens a file, by which is tried what could be misread."""

    def __init__(self, extent: Extent, reader_of: Callable[[Open], Reader]) -> None:
        bound = [key for key in extent.metadata if columns.is_bound(key)]
        self._spare = MetadataColumns(
            [key for key in extent.metadata if key not in bound],
            _OTHERS,
            columns.is_about_variants,
        )
        kept = {number for key in bound if (number := columns.attribute_number(key))}
        self._attributes = [
            n for n in range(1, _MAX_ATTRIBUTES) if n in kept or n <= extent.options + len(kept)
        ]
        self._own = [
            *_HEADING,
            *(f"Attribute {n} {part}" for n in self._attributes for part in ("name", "value(s)")),
            *(key for key in columns.WEIGHTS if key in bound and key not in _HEADING),
        ]
        heading = [*self._own, *self._spare.headings, columns.HANDLE, EXACT]
        super().__init__(heading, self._rows_of)
        head = encoded([heading])
        self._reader = reader_of(lambda: io.BytesIO(head))  # type: ignore[arg-type,return-value]

    def _rows_of(self, product: JSONObject) -> _Rows:
        """The rows of a product.

        What other files have said in columns that mean something stands there again, if that is
        read as it was; and in `_exact` otherwise.
        """
        rows = self._rows_with(product, {})
        again = {
            name: product["metadata"][name] for name in self._own if name in product["metadata"]
        }
        if again:
            with_these = self._rows_with(product, again)
            if self._read(with_these) == self._read(rows):
                return with_these
        return rows

    def _read(self, rows: _Rows) -> Any:
        lines = [[guarded(row.get(name, "")) for name in self._heading] for row in rows]
        return self._reader.read(Group("written", list(enumerate(lines))))

    def _rows_with(self, product: JSONObject, again: JSONObject) -> _Rows:
        options_of = ordered_options(product)
        is_simple = options_of == [{}]
        keys = [""] if is_simple else ["", *map(variant_key, options_of)]
        rest = {key: value for key, value in product["metadata"].items() if key not in again}
        rows, rest = self._spare.cells(rest, keys)
        parent, variations = rows[0], rows if is_simple else rows[1:]
        exact: Told = {}
        parent |= {"Type": "simple"} | _product_cells(product, exact)
        said: JSONObject = {"metadata": rest} | _images(parent, product["images"])
        names = self._places(product, options_of, again)
        if not is_simple:
            parent |= {"Type": "variable", "SKU": product["handle"]}
            parent |= _attribute_lists(names, options_of)
        if list(dict.fromkeys(n for options in options_of for n in options)) != product["options"]:
            said["options"] = product["options"]
        if not is_simple:
            parent[EXACT], exact, said = exact_cell(exact, **said), {}, {}
        for row, variant, options in zip(variations, product["variants"], options_of, strict=True):
            if not is_simple:
                row |= {"Type": "variation", "Published": "1"}
                row["Name"] = columns.variation_name(product["name"], options)
            row.update(_variant_cells(variant, exact) | _attributes(names, options))
            if variant["price"] is None and variant["compare_at_price"] is not None:
                said["variant"] = {"compare_at_price": variant["compare_at_price"]}
            if {n: columns.option(v) for n, v in options.items() if n in names} != options:
                said["identity"] = options
            row[EXACT] = exact_cell(exact, **said)
            exact, said = {}, {}
        _put(rows, keys, again)
        for row in rows:
            row[columns.HANDLE] = product["handle"]
        for row in rows[1:]:
            row["Parent"] = parent["SKU"]
        return rows

    def _places(
        self, product: JSONObject, options_of: Sequence[Mapping[str, str]], again: JSONObject
    ) -> dict[str, int]:
        """The number of the attribute that each option becomes: one that nothing else has."""
        used = {name for options in options_of for name in options}
        ordered = [name for name in dict.fromkeys([*product["options"], *used]) if name in used]
        free = [n for n in self._attributes if f"Attribute {n} name" not in again]
        return dict(zip(ordered, free, strict=False))


def _product_cells(product: JSONObject, exact: Told) -> dict[str, str]:
    return {
        "Name": told(exact, "Name", product["name"], cells.name),
        "Published": told(exact, "Published", product["status"], columns.published, _published),
        "Description": told(
            exact, "Description", product["description"], columns.description, columns.described
        ),
        "Categories": told(exact, "Categories", product["category"], columns.category, _item),
        "Tags": told(exact, "Tags", product["tags"], columns.tags, columns.joined),
        "Brands": told(exact, "Brands", product["vendor"], columns.vendor, _item),
    }


def _published(status: str) -> str:
    return "1" if status == "active" else "-1"


def _item(text: str) -> str:
    return columns.joined([text])


def _images(row: dict[str, str], images: Sequence[JSONObject]) -> JSONObject:
    """Put the images' addresses into a row; returns what `_exact` has to say of them."""
    cell = columns.joined(image["url"] for image in images)
    addresses = [{"url": image["url"], "alt": None} for image in images]
    try:
        comes_back = columns.images(cell) == addresses
    except Fault:
        comes_back = False
    row["Images"] = cell if comes_back else ""
    return {} if comes_back and addresses == images else {"images": images}


def _variant_cells(variant: JSONObject, exact: Told) -> dict[str, str]:
    price, compared = variant["price"], variant["compare_at_price"]
    weight, barcode = variant["weight_grams"], "GTIN, UPC, EAN, or ISBN"
    regular, sale = (price, None) if price is None or compared is None else (compared, price)
    return {
        "SKU": told(exact, "SKU", variant["sku"], cells.code),
        barcode: told(exact, barcode, variant["barcode"], cells.code),
        "Stock": "" if variant["stock"] is None else str(variant["stock"]),
        "Backorders allowed?": "1" if variant["backorder"] else "0",
        "Weight (kg)": "" if weight is None else f"{Decimal(plain(weight)) / _GRAMS:f}",
        "Regular price": regular or "",
        "Sale price": sale or "",
    }


def _attributes(names: Mapping[str, int], options: Mapping[str, str]) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, number in names.items():
        if name in options:
            row |= {f"Attribute {number} name": name, f"Attribute {number} value(s)": options[name]}
    return row


def _attribute_lists(
    names: Mapping[str, int], options_of: Sequence[Mapping[str, str]]
) -> dict[str, str]:
    """The attributes of a variable product: each with all values that its variations have."""
    row: dict[str, str] = {}
    for name, number in names.items():
        found = dict.fromkeys(options[name] for options in options_of if name in options)
        row[f"Attribute {number} name"] = name
        row[f"Attribute {number} value(s)"] = columns.joined(found)
    return row


def _put(rows: _Rows, keys: Sequence[str], again: JSONObject) -> None:
    """Put entries of `metadata` back into the columns that they come from."""
    for name, value in again.items():
        said = {keys[0]: value} if isinstance(value, str) else value
        if isinstance(said, dict):
            for row, key in zip(rows, keys, strict=True):
                if isinstance(cell := said.get(key), str) and cell.strip():
                    row[name] = cell
