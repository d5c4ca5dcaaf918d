"""Formats with one row per variant, whose rows share a product's handle.

A format is a declaration: which heading feeds which field through which cell rule. The rules of
refusal are the same for all:

- a wrong cell of a variant or an image refuses its row alone;
- a wrong cell of the product refuses the product with all its rows, since half of it would lie;
- a product of whose variants none is left is refused too.
"""

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import values
from catalog.formats import numbers
from catalog.formats.cells import integer, label
from catalog.formats.rows import Group, Options, ProductRows, Refusal, Row, VariantRow
from catalog.formats.table import Table
from errors import Fault, Unreadable
from models import JSONObject

# Heading (lower case), field, cell rule. The first of several headings that feed one field wins
# wherever its cell is not blank.
Columns = Sequence[tuple[str, str, Callable[[str], Any]]]
_BoundColumns = Sequence[tuple[int, str, Callable[[str], Any]]]  # the same, in one file


def _as_read(_fields: JSONObject, _columns: frozenset[str]) -> None:
    """Change nothing: for formats whose cells say all there is to say."""


@dataclass(frozen=True, slots=True)
class FlatFormat:
    """The declaration of a format; the `finish` functions settle what depends on several cells."""

    name: str
    handle_columns: Sequence[str]
    product: Columns
    variant: Columns
    option_pairs: Sequence[tuple[str, str]]
    image: Columns = ()
    point: str | None = "."  # for decimals, where nothing in the column says otherwise
    finish_product: Callable[[JSONObject, frozenset[str]], None] = _as_read
    finish_variant: Callable[[JSONObject, frozenset[str]], None] = _as_read
    finish_options: Callable[[dict[str, str]], dict[str, str]] = dict  # a copy: no change


# A row with one of these describes a variant, even if it has an image and no options.
_TELLING = {"sku", "price"}


class _RowRefused(Exception):
    """Ends the reading of a row; carries the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class FlatReader:
    """Reads the rows of one file, whose heading it knows, into products."""

    def __init__(self, format_: FlatFormat, table: Table, options: Options) -> None:
        self.format = format_
        self._table = table
        self._blank_clears = options.blank_clears
        self._heading = table.heading
        self._index = _positions(self._heading)
        self._columns = frozenset(self._index)
        self._handle = self._handle_column()
        self._product = self._bind(format_.product)
        self._variant = self._bind(format_.variant)
        self._image = self._bind(format_.image)
        self._options = [
            (self._index[name], self._index[value])
            for name, value in format_.option_pairs
            if name in self._index and value in self._index
        ]
        bound = (*self._product, *self._variant, *self._image)
        used = {self._handle, *(i for i, _, _ in bound), *(i for p in self._options for i in p)}
        self.ignored_columns = [n for i, n in enumerate(self._heading) if i not in used and n]

    def column_of(self, field: str) -> str | None:
        """The file's own name for the column that feeds a product's field, if it has one."""
        return next((self._heading[i] for i, name, _ in self._product if name == field), None)

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file."""
        return {
            "format": self.format.name,
            **self._table.about,
            "ignored_columns": self.ignored_columns,
        }

    def keyed(self) -> Iterator[tuple[str, Row]]:
        """Each row with the handle it belongs to; empty where there is none."""
        width, handle = len(self._heading), self._handle
        for row in self._table.rows():
            key = row[1][handle].strip() if len(row[1]) == width else ""
            yield (key if key.isascii() else unicodedata.normalize("NFC", key)), row

    def read(self, group: Group) -> tuple[ProductRows | None, list[Refusal]]:
        """The product of a group's rows, if any is left of it, and every refused row."""
        if not group.key:
            return None, [refusal for row in group.rows if (refusal := self._homeless(row))]
        refusals = [
            Refusal(line, None, None, "too_many_rows", "is beyond what one product may hold")
            for line in group.excess
        ]
        product = ProductRows(group.key, [line for line, _ in group.rows])
        try:
            self._read_product(product, group.rows)
        except _RowRefused as error:
            refused = error.refusal
            return None, [*refusals, refused, *_following(product, {refused.line}, refused.line)]
        self._read_rows(product, group.rows, refusals)
        if not product.variants:
            explained = {refusal.line for refusal in refusals}
            return None, [*refusals, *_following(product, explained, min(explained))]
        return product, refusals

    def _read_product(self, product: ProductRows, rows: Sequence[Row]) -> None:
        line, cells = rows[0]
        product.handle = self._cell(line, cells, self._handle, values.handle)
        fields = product.fields
        for line, cells in rows:
            self._fill(fields, line, cells, self._product)
            if len(fields) == len(self._product):
                break
        self.format.finish_product(fields, self._columns)

    def _read_rows(
        self, product: ProductRows, rows: Sequence[Row], refusals: list[Refusal]
    ) -> None:
        """Read variants and images into the product, and refused rows into `refusals`."""
        names: dict[int, str] = {}
        seen: dict[tuple[tuple[str, str], ...], int] = {}
        images: list[JSONObject] = []
        finish_variant, first = self.format.finish_variant, rows[0][0]
        for line, cells in rows:
            try:
                options = self._read_options(line, cells, names)
                fields = self._fill({}, line, cells, self._variant)
                image = self._fill({}, line, cells, self._image) if self._image else {}
                if options or not image or line == first or _TELLING & fields.keys():
                    _claim_identity(line, options, seen)
                    finish_variant(fields, self._columns)
                    product.variants.append(VariantRow(line, options, fields))
            except _RowRefused as error:
                refusals.append(error.refusal)
            else:
                if "url" in image:
                    images.append(image)
        product.options = list(dict.fromkeys(n for v in product.variants for n in v.options))
        product.images = product.fields.pop("images", []) + _in_order(images)

    def _read_options(self, line: int, cells: list[str], names: dict[int, str]) -> dict[str, str]:
        """The row's options; a name that is blank is the one of an earlier row of the product."""
        options: dict[str, str] = {}
        for name_index, value_index in self._options:
            cell = cells[name_index]
            if cell and not cell.isspace():
                names[name_index] = self._cell(line, cells, name_index, label)
            cell = cells[value_index]
            if not cell or cell.isspace():
                continue
            if name_index not in names:
                column = self._heading[name_index]
                detail = f"is blank, though {self._heading[value_index]} is not"
                raise _RowRefused(Refusal(line, column, "", "required", detail))
            options[names[name_index]] = self._cell(line, cells, value_index, label)
        return self.format.finish_options(options) if options else options

    def _fill(
        self, fields: JSONObject, line: int, cells: list[str], columns: _BoundColumns
    ) -> JSONObject:
        """Add to `fields` what the row's cells say and no earlier cell has said."""
        index = 0
        try:
            for index, name, rule in columns:
                cell = cells[index]
                if cell and name not in fields and not cell.isspace():
                    fields[name] = rule(cell)
        except Fault as fault:
            raise self._refused(line, cells, index, fault) from None
        return fields

    def _cell(self, line: int, cells: list[str], index: int, rule: Callable[[str], Any]) -> Any:
        try:
            return rule(cells[index])
        except Fault as fault:
            raise self._refused(line, cells, index, fault) from None

    def _refused(self, line: int, cells: list[str], index: int, fault: Fault) -> _RowRefused:
        # A whole description would drown the report; its beginning says which one it is.
        value = cells[index].replace("\0", "")[:200]
        return _RowRefused(Refusal(line, self._heading[index], value, fault.code, fault.detail))

    def _homeless(self, row: Row) -> Refusal | None:
        """Why a row belongs to no product; None for one of blank cells, which says nothing."""
        line, cells = row
        if len(cells) != len(self._heading):
            detail = f"has {len(cells)} cells, the heading {len(self._heading)}"
            return Refusal(line, None, None, "ragged_row", detail)
        if not any(cell.strip() for cell in cells):
            return None
        return Refusal(line, self._heading[self._handle], "", "required", "must not be blank")

    def _handle_column(self) -> int:
        for name in self.format.handle_columns:
            if name in self._index:
                return self._index[name]
        wanted = " or ".join(self.format.handle_columns)
        raise Unreadable(f"The heading has no column {wanted}.", code="column_missing")

    def _bind(self, columns: Columns) -> _BoundColumns:
        found = ((self._index.get(heading), field, rule) for heading, field, rule in columns)
        return [(i, field, self._numeric(i, rule)) for i, field, rule in found if i is not None]

    def _numeric(self, index: int, rule: Callable[[str], Any]) -> Callable[[str], Any]:
        """The rule, in the column's own notation if it is one for numbers."""
        if rule not in numbers.RULES:
            return rule
        point = None if rule is integer else self.format.point
        return self._table.number(index, rule, point)


def _positions(heading: Sequence[str]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for index, name in enumerate(heading):
        if positions.setdefault(name.lower(), index) != index and name:
            raise Unreadable(f"The heading holds {name} twice.", code="duplicate_column")
    return positions


def _claim_identity(
    line: int, options: dict[str, str], seen: dict[tuple[tuple[str, str], ...], int]
) -> None:
    """Note the line of these options; refuse the row if an earlier one has them."""
    identity = tuple(sorted(options.items())) if len(options) > 1 else tuple(options.items())
    if (earlier := seen.setdefault(identity, line)) != line:
        shown = ", ".join(f"{name}: {value}" for name, value in identity) or None
        detail = f"has the options of line {earlier}, so that the two cannot be told apart"
        raise _RowRefused(Refusal(line, None, shown, "duplicate_variant", detail))


def _following(product: ProductRows, explained: set[int], cause: int) -> list[Refusal]:
    """The refusals of a product's other rows, which have no product to belong to."""
    detail = f"belongs to a product that is refused in line {cause}"
    return [
        Refusal(line, None, None, "product_refused", detail)
        for line in product.lines
        if line not in explained
    ]


def _in_order(images: list[JSONObject]) -> list[JSONObject]:
    """Images by their position, those without one last; each address once."""
    by_url: dict[str, JSONObject] = {}
    for image in sorted(images, key=lambda image: image.get("position", math.inf)):
        by_url.setdefault(image["url"], {"url": image["url"], "alt": image.get("alt")})
    return list(by_url.values())
