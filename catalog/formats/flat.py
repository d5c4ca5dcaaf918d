"""Formats with one row per variant, whose rows share a product's handle.

A format is a declaration: which heading feeds which field through which cell rule. The rules of
refusal are the same for all:

- a wrong cell of a variant or an image refuses its row alone;
- a wrong cell of the product refuses the product with all its rows, since half of it would lie;
- a product of whose variants none is left is refused too.

Columns that feed no field are kept in `metadata`: see `spare`.
"""

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import values
from catalog.formats import mending, numbers
from catalog.formats.cells import integer, label
from catalog.formats.rows import Group, Options, ProductRows, Refusal, Row, VariantRow
from catalog.formats.sheets import unguarded
from catalog.formats.spare import EXACT, OWN_COLUMNS, Exact, folded, variant_key
from catalog.formats.table import Sheet
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
    """The declaration of a format; the `finish` functions settle what depends on several cells.

    `canonical` makes of a heading the name by which the declaration means it.
    `about_variants` tells of a column without a place, by its heading in lower case, whether it is
    about variants.
    """

    name: str
    handle_columns: Sequence[str]
    product: Columns
    variant: Columns
    option_pairs: Sequence[tuple[str, str]]
    image: Columns = ()
    canonical: Callable[[str], str] = str.lower
    point: str | None = "."  # for decimals, where nothing in the column says otherwise
    about_variants: Callable[[str], bool] = lambda _: False
    finish_product: Callable[[JSONObject, frozenset[str]], None] = _as_read
    finish_variant: Callable[[JSONObject, frozenset[str]], None] = _as_read
    finish_options: Callable[[dict[str, str]], dict[str, str]] = dict  # a copy: no change

    @property
    def headings(self) -> AbstractSet[str]:
        """Every heading that means something here, in lower case."""
        fields = (*self.product, *self.variant, *self.image)
        names = (name for pair in self.option_pairs for name in pair)
        return {EXACT, *self.handle_columns, *(name for name, _, _ in fields), *names}


# A row with one of these describes a variant, even if it has an image and no options.
_TELLING = {"sku", "price"}
# What a blank cell can clear: a product has a name and a status whatever happens.
_CLEARABLE = frozenset(
    {
        *("description", "vendor", "category", "tags", "images", "metadata", "sku", "price"),
        *("compare_at_price", "barcode", "weight_grams", "stock", "backorder"),
    }
)
_NOTHING_SAID = Exact()


class RowRefused(Exception):
    """Ends the reading of a row; carries the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class FlatReader:
    """Reads the rows of one file, whose heading it knows, into products."""

    report_media_type = mending.MEDIA_TYPE

    def __init__(self, format_: FlatFormat, table: Sheet, options: Options) -> None:
        self.format = format_
        self._table = table
        self._heading = distinct(table.heading, format_.headings)
        numbered = reversed([*enumerate(self._heading)])
        self._index = {format_.canonical(name): index for index, name in numbered}
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
        self._kept = self._without_place()
        self._kept_cells = _getter(self._kept)
        self._outdone = _outdone(self._product)
        self._keeps = bool(self._kept or self._outdone)
        self._exact = self._index.get(EXACT)
        clears = options.blank_clears
        self._product_clears = _clearable([*self._product, *self._image]) if clears else frozenset()
        self._variant_clears = _clearable(self._variant) if clears else frozenset()

    def _without_place(self) -> list[int]:
        bound = (*self._product, *self._variant, *self._image)
        used = {self._handle, *(i for i, _, _ in bound), *(i for p in self._options for i in p)}
        return [
            index
            for index, name in enumerate(self._heading)
            if index not in used and name and name.lower() not in OWN_COLUMNS
        ]

    def column_of(self, field: str) -> str | None:
        """The file's own name for the column that feeds a product's field, if it has one."""
        return next((self._heading[i] for i, name, _ in self._product if name == field), None)

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file."""
        return {
            "format": self.format.name,
            **self._table.about,
            "kept_columns": [self._heading[index] for index in self._kept],
        }

    def keyed(self) -> Iterator[tuple[str, Row]]:
        """Each row with the handle it belongs to; empty where there is none."""
        width, handle = len(self._heading), self._handle
        for row in self._table.rows():
            key = row[1][handle].strip() if len(row[1]) == width else ""
            if key[:1] == "'":
                key = unguarded(key)
            yield (key if key.isascii() else unicodedata.normalize("NFC", key)), row

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The rows of these lines as CSV, with `_line` and `_error`, to mend and send again."""
        products = {key: dict[int, str]() for key, row in self.keyed() if key and row[0] in refused}
        rows = mending.with_names(self.keyed(), refused, products, self._options)
        return mending.written(rows, refused, self._heading, self._table.delimiter)

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
        except RowRefused as error:
            return None, refused_whole(product, error.refusal, refusals)
        self._read_rows(product, group.rows, refusals)
        if not product.variants:
            explained = {refusal.line for refusal in refusals}
            return None, [*refusals, *following(product, explained, min(explained))]
        try:
            if self._keeps:
                self._keep(product, group.rows)
        except RowRefused as error:
            return None, refused_whole(product, error.refusal, refusals)
        if self._product_clears:
            said = {"images"} if product.images else set[str]()
            product.cleared = self._product_clears - product.fields.keys() - said
        return product, refusals

    def _read_product(self, product: ProductRows, rows: Sequence[Row]) -> None:
        line, cells = rows[0]
        product.handle = self._cell(line, cells, self._handle, values.handle)
        exact = self._exact_of(line, cells)
        fields = product.fields
        fields |= exact.product | self._fill_exactly(line, cells, self._product, exact)
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
        first = rows[0][0]
        have_options = len(rows) > 1 and any(
            cells[index].strip() for _, cells in rows for _, index in self._options
        )
        for line, cells in rows:
            try:
                exact = self._exact_of(line, cells)
                options = exact.identity or self._read_options(line, cells, names)
                fields = self._read_variant(line, cells, exact)
                image = self._fill({}, line, cells, self._image) if self._image else {}
                if options is None and have_options and not fields:
                    pass  # it is about the product alone
                elif options is not None or not image or line == first or _TELLING & fields.keys():
                    claim_identity(line, options or {}, seen)
                    row = VariantRow(line, options or {}, fields)
                    if self._variant_clears:
                        row.cleared = self._variant_clears - fields.keys()
                    product.variants.append(row)
            except RowRefused as error:
                refusals.append(error.refusal)
            else:
                if "url" in image:
                    images.append(image)
        settle_options(product)
        product.images = product.fields.pop("images", []) + in_order(images)

    def _read_variant(self, line: int, cells: list[str], exact: Exact) -> JSONObject:
        fields = self._fill_exactly(line, cells, self._variant, exact) if exact.cells else {}
        self._fill(fields, line, cells, self._variant)
        self.format.finish_variant(fields, self._columns)
        return exact.variant | fields if exact.variant else fields

    def _keep(self, product: ProductRows, rows: Sequence[Row]) -> None:
        """Keep in the product's metadata what its rows say in columns without a place."""
        keys = {variant.line: variant_key(variant.options) for variant in product.variants}
        first = rows[0][0]
        spoken = [row for row in rows if row[0] in keys or row[0] == first]
        kept: JSONObject = {}
        columns = zip(*(self._kept_cells(cells) for _, cells in spoken), strict=True)
        for index, column in zip(self._kept, columns, strict=True):
            if not any(column):
                continue
            heading = self._heading[index]
            per_variant = self.format.about_variants(heading.lower())
            said = [
                (keys.get(line, ""), self._cell(line, cells, index, text_of))
                for line, cells in spoken
                if line in keys or not per_variant
            ]
            if (value := folded(said, per_variant)) is not None:
                kept[heading] = value
        for index, fed in self._outdone:
            cell = rows[0][1][index]
            if cell.strip() and rows[0][1][fed].strip() not in ("", cell.strip()):
                kept[self._heading[index]] = self._cell(*rows[0], index, text_of)
        if kept:
            product.fields["metadata"] = kept | product.fields.get("metadata", {})

    def _read_options(
        self, line: int, cells: list[str], names: dict[int, str]
    ) -> dict[str, str] | None:
        """The row's options, None if it tells none at all.

        A name that is blank is the one of an earlier row of the product.
        """
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
                raise RowRefused(Refusal(line, column, "", "required", detail))
            options[names[name_index]] = self._cell(line, cells, value_index, label)
        return self.format.finish_options(options) if options else None

    def _fill(
        self, fields: JSONObject, line: int, cells: list[str], columns: _BoundColumns
    ) -> JSONObject:
        """Add to `fields` what the row's cells say and no earlier cell has said."""
        index = 0
        try:
            for index, name, rule in columns:
                cell = cells[index]
                if cell and name not in fields and not cell.isspace():
                    fields[name] = rule(unguarded(cell) if cell[0] == "'" else cell)
        except Fault as fault:
            raise self._refused(line, cells, index, fault) from None
        return fields

    def _fill_exactly(
        self, line: int, cells: list[str], columns: _BoundColumns, exact: Exact
    ) -> JSONObject:
        """What `_exact` says of cells that nobody has changed since."""
        fields: JSONObject = {}
        try:
            for index, name, _ in columns:
                exact.fill(fields, self._heading[index], name, unguarded(cells[index]))
        except Fault as fault:
            raise self._refused(line, cells, self._index[EXACT], fault) from None
        return fields

    def _exact_of(self, line: int, cells: list[str]) -> Exact:
        if self._exact is None or not cells[self._exact]:
            return _NOTHING_SAID
        found: Exact = self._cell(line, cells, self._exact, Exact.read)
        return found

    def _cell(self, line: int, cells: list[str], index: int, rule: Callable[[str], Any]) -> Any:
        try:
            cell = cells[index]
            return rule(unguarded(cell) if cell[:1] == "'" else cell)
        except Fault as fault:
            raise self._refused(line, cells, index, fault) from None

    def _refused(self, line: int, cells: list[str], index: int, fault: Fault) -> RowRefused:
        # A whole description would drown the report; its beginning says which one it is.
        value = cells[index].replace("\0", "")[:200]
        return RowRefused(Refusal(line, self._heading[index], value, fault.code, fault.detail))

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


def distinct(heading: Sequence[str], used: AbstractSet[str]) -> list[str]:
    """The heading with a number behind each name that has stood before.

    Raises Unreadable if it is one that means something: which of the two is it?
    """
    seen: dict[str, int] = {}
    names: list[str] = []
    for name in heading:
        number = seen[name.lower()] = seen.get(name.lower(), 0) + 1
        if number > 1 and name.lower() in used:
            raise Unreadable(f"The heading holds {name} twice.", code="duplicate_column")
        names.append(f"{name} ({number})" if name and number > 1 else name)
    return names


def text_of(cell: str) -> str:
    """A cell as `metadata` keeps it. Raises Fault."""
    return values.text(cell, values.DESCRIPTION_LIMIT)


def _getter(indexes: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    """The cells at these indexes, always as a sequence."""
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda cells: [cells[index] for index in indexes]


def _outdone(columns: _BoundColumns) -> list[tuple[int, int]]:
    """The columns whose field an earlier one feeds, each with that one."""
    first: dict[str, int] = {}
    pairs = [(index, first.setdefault(field, index)) for index, field, _ in columns]
    return [(index, fed) for index, fed in pairs if index != fed]


def _clearable(columns: _BoundColumns) -> AbstractSet[str]:
    fields = {"images" if field == "url" else field for _, field, _ in columns}
    return _CLEARABLE & fields


def settle_options(product: ProductRows) -> None:
    """Give the product the options of its variants, behind those that `_exact` puts in order."""
    found = [name for variant in product.variants for name in variant.options]
    product.options = list(dict.fromkeys([*product.fields.pop("options", ()), *found]))


def claim_identity(
    line: int, options: dict[str, str], seen: dict[tuple[tuple[str, str], ...], int]
) -> None:
    """Note the line of these options; refuse the row if an earlier one has them."""
    identity = tuple(sorted(options.items())) if len(options) > 1 else tuple(options.items())
    if (earlier := seen.setdefault(identity, line)) != line:
        shown = ", ".join(f"{name}: {value}" for name, value in identity) or None
        detail = f"has the options of line {earlier}, so that the two cannot be told apart"
        raise RowRefused(Refusal(line, None, shown, "duplicate_variant", detail))


def refused_whole(
    product: ProductRows, refusal: Refusal, others: Sequence[Refusal]
) -> list[Refusal]:
    """The refusals of a product that is refused for one of its rows."""
    explained = {refusal.line, *(other.line for other in others)}
    return [*others, refusal, *following(product, explained, refusal.line)]


def following(product: ProductRows, explained: set[int], cause: int) -> list[Refusal]:
    """The refusals of a product's other rows, which have no product to belong to."""
    detail = f"belongs to a product that is refused in line {cause}"
    return [
        Refusal(line, None, None, "product_refused", detail)
        for line in product.lines
        if line not in explained
    ]


def in_order(images: list[JSONObject]) -> list[JSONObject]:
    """Images by their position, those without one last; each address once."""
    by_url: dict[str, JSONObject] = {}
    for image in sorted(images, key=lambda image: image.get("position", math.inf)):
        by_url.setdefault(image["url"], {"url": image["url"], "alt": image.get("alt")})
    return list(by_url.values())
