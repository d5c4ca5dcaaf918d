"""WooCommerce's product CSV.

A variation names its parent by SKU or by `id:` and the parent's ID, and may stand before it or
far from it. A row of any other type is a product. Since WooCommerce has no handles, a product is
known by the SKUs of its variants; a new one gets the handle that its name makes.

What we have no place for is kept in `metadata`, even of columns that mean something in other
rows: under the blank key what the product's own row says, under a variant's what its row says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import values
from catalog.formats import cells as rules
from catalog.formats import mending
from catalog.formats import woocommerce_columns as columns
from catalog.formats.flat import (
    FlatReader,
    RowRefused,
    claim_identity,
    refused_whole,
    settle_options,
    text_of,
)
from catalog.formats.rows import (
    Extent,
    Group,
    Open,
    Options,
    ProductRows,
    Reader,
    Refusal,
    Row,
    VariantRow,
    Writer,
)
from catalog.formats.sheets import unguarded
from catalog.formats.spare import folded, variant_key
from catalog.formats.table import Table
from catalog.formats.woocommerce_writing import WooWriter
from errors import Fault
from models import JSONObject

NAME = columns.FORMAT.name
_MISSING = -1  # the index of a column that the file does not have
_LONG_NAME = 150  # characters, so that the handle has room for what follows
# Whose rows have no variations; `variable` is not the only type that has: plugins add others.
_WITHOUT_VARIATIONS = frozenset(("simple", "external", "grouped", "variation"))


def matches(headings: frozenset[str]) -> bool:
    """Whether a heading, in lower case, is of this format: no other has a regular price."""
    return {"sku", "regular price"} <= set(map(columns.canonical, headings))


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file. Raises Unreadable."""
    return WooReader(Table(open_, options), options)


def write(extent: Extent) -> Writer:
    """A writer whose every product is read back as it was."""
    return WooWriter(extent, lambda heading: WooReader(Table(heading, Options()), Options()))


class WooReader(FlatReader):
    """Reads the rows of one file into products."""

    def __init__(self, table: Table, options: Options) -> None:
        pairs = columns.attribute_pairs(map(columns.canonical, table.heading))
        super().__init__(replace(columns.FORMAT, option_pairs=pairs), table, options)
        place = {name: self._index.get(name, _MISSING) for name in ("id", "type", "sku", "parent")}
        self._id, self._type, self._sku, self._parent = place.values()
        self._kept = [i for i in self._kept if i not in (self._type, self._parent)]
        self._keeps = True
        self._fields = self._bound_fields()
        self._clears = options.blank_clears
        self._skus: dict[str, str] = {}  # of parents that have an ID too, by that
        self._repeated: set[int] = set()  # hashes of handles that several names make
        self._survey()

    def _survey(self) -> None:
        """Look for what a row alone does not tell: whom an `id:` means, and whose name repeats."""
        seen: set[int] = set()
        name = self._index.get("name", _MISSING)
        for _, cells in self._table.rows():
            if len(cells) != len(self._heading) or "variation" in (types := self._types(cells)):
                continue
            if not types & _WITHOUT_VARIATIONS and self._said(cells, self._id):
                self._skus[self._said(cells, self._id)] = self._said(cells, self._sku)
            if title := self._said(cells, name):
                handle = hash(values.handle_from(title))
                (self._repeated if handle in seen else seen).add(handle)

    def column_of(self, field: str) -> str | None:
        """The file's own name for what feeds a product's field; a product is told by its parent."""
        place = {"handle": self._parent, "sku": self._sku}.get(field, _MISSING)
        return super().column_of(field) if place == _MISSING else self._heading[place]

    def _handle_column(self) -> int:
        return self._index.get(columns.HANDLE.lower(), _MISSING)

    def keyed(self) -> Iterator[tuple[str, Row]]:
        """Each row with what tells its product: a handle, a SKU, an ID, or else its own line."""
        for row in self._table.rows():
            yield self._key(row), row

    def _key(self, row: Row) -> str:
        line, cells = row
        if len(cells) != len(self._heading) or not any(cell.strip() for cell in cells):
            return ""
        if handle := self._own_handle(cells):
            return f"handle:{handle}"
        sku, own_id = self._said(cells, self._sku), self._said(cells, self._id)
        if "variation" in self._types(cells):
            sku, own_id = self._said(cells, self._parent), ""
            if sku.startswith("id:"):
                own_id = sku.removeprefix("id:").strip()
                sku = self._skus.get(own_id, "")
        return f"sku:{sku}" if sku else f"id:{own_id}" if own_id else f"line:{line}"

    def _said(self, cells: Sequence[str], index: int) -> str:
        """A cell in the form in which rows name each other; blank if there is no such column."""
        return unguarded(cells[index].strip()).lstrip("'") if index != _MISSING else ""

    def _own_handle(self, cells: Sequence[str]) -> str:
        """The handle that our own exports give."""
        return unguarded(cells[self._handle].strip()) if self._handle != _MISSING else ""

    def _types(self, cells: Sequence[str]) -> set[str]:
        """The words of a row's type: one of them, and `virtual` or `downloadable`."""
        said = self._said(cells, self._type).lower() or "simple"
        return {word.strip() for word in said.split(",")}

    def read(self, group: Group) -> tuple[ProductRows | None, list[Refusal]]:
        """The product of a group's rows, if any is left of it, and every refused row."""
        unknown = [refusal for row in group.rows if (refusal := self._unidentified(row))]
        if not group.key or not unknown:
            found, refusals = super().read(group)
            if found is not None and self._parent_of(group.rows) is None:
                found.cleared = frozenset()  # blank cells of variations are not about the product
            return found, refusals
        lines = {refusal.line for refusal in unknown}
        parents = {line for line, cells in group.rows if "variation" not in self._types(cells)}
        left = [row for row in group.rows if row[0] not in lines]
        if parents & lines or not left:
            product = ProductRows(group.key, [line for line, _ in group.rows])
            return None, refused_whole(product, unknown[0], unknown[1:])
        found, refusals = self.read(Group(group.key, left, group.excess))
        return found, [*unknown, *refusals]

    def _unidentified(self, row: Row) -> Refusal | None:
        """Why a row cannot be told which product it is of."""
        line, cells = row
        if len(cells) != len(self._heading) or self._own_handle(cells):
            return None
        index = self._parent if "variation" in self._types(cells) else self._sku
        if self._said(cells, index):
            try:
                self._cell(line, cells, index, rules.code)
            except RowRefused as error:
                return error.refusal
        elif "variation" in self._types(cells):
            column = None if index == _MISSING else self._heading[index]
            return Refusal(line, column, "", "required", "is needed: a variation has a parent")
        return None

    def _read_product(self, product: ProductRows, rows: Sequence[Row]) -> None:
        line, cells = rows[0]
        product.found_by_sku = not self._own_handle(cells)
        product.handle = ""
        if not product.found_by_sku:
            product.handle = self._cell(line, cells, self._handle, values.handle)
        parent = self._parent_of(rows)
        if parent is None:
            return
        line, cells = parent
        exact = self._exact_of(line, cells)
        fields = product.fields
        fields |= exact.product | self._fill_exactly(line, cells, self._product, exact)
        images = fields.pop("images", [])
        self._fill(fields, line, cells, self._product)
        texts = {image["url"]: image["alt"] for image in images}
        for image in fields.get("images", ()):
            image["alt"] = texts.get(image["url"])
        fields.setdefault("images", images)
        if product.found_by_sku and "name" in fields:
            product.handle = self._derived_handle(line, cells, fields["name"])

    def _derived_handle(self, line: int, cells: Sequence[str], name: str) -> str:
        """From the name, and if others have it, from what else tells them apart."""
        handle = values.handle_from(name)
        if hash(handle) not in self._repeated:
            return handle
        mark = self._said(cells, self._sku) or self._said(cells, self._id) or line
        return values.handle_from(f"{name[:_LONG_NAME]} {mark}")

    def _parent_of(self, rows: Sequence[Row]) -> Row | None:
        return next((row for row in rows if "variation" not in self._types(row[1])), None)

    def _read_rows(
        self, product: ProductRows, rows: Sequence[Row], refusals: list[Refusal]
    ) -> None:
        parent = self._parent_of(rows)
        has_variations = any("variation" in self._types(cells) for _, cells in rows)
        seen: dict[tuple[tuple[str, str], ...], int] = {}
        for row in rows:
            line, cells = row
            try:
                if "variation" in self._types(cells) or (row is parent and not has_variations):
                    product.variants.append(self._variant_row(line, cells, seen))
                elif row is not parent:
                    raise self._repeated_sku(row, parent)
            except RowRefused as error:
                refusals.append(error.refusal)
        settle_options(product)
        product.images = product.fields.pop("images", [])

    def _variant_row(
        self, line: int, cells: list[str], seen: dict[tuple[tuple[str, str], ...], int]
    ) -> VariantRow:
        exact = self._exact_of(line, cells)
        types = self._types(cells)
        if "variable" in types:  # its variations are elsewhere: it says nothing of them
            return VariantRow(line, {}, {})
        options = exact.identity or (self._options_of(line, cells) if "variation" in types else {})
        claim_identity(line, options, seen)
        fields = self._read_variant(line, cells, exact)
        cleared = self._variant_clears - fields.keys()
        if self._clears:
            prices = {"price": "regular price", "compare_at_price": "sale price"}
            cleared |= {f for f, c in prices.items() if c in self._index and f not in fields}
        return VariantRow(line, options, fields, cleared)

    def _options_of(self, line: int, cells: list[str]) -> dict[str, str]:
        """The attributes that a variation has a value for; a blank one stands for any."""
        options: dict[str, str] = {}
        for name, value in self._options:
            if not cells[value].strip():
                continue
            if not cells[name].strip():
                detail = f"is blank, though {self._heading[value]} is not"
                raise RowRefused(Refusal(line, self._heading[name], "", "required", detail))
            key = self._cell(line, cells, name, rules.label)
            options[key] = self._cell(line, cells, value, columns.option)
        return options

    def _repeated_sku(self, row: Row, first: Row | None) -> RowRefused:
        line, cells = row
        index = self._sku if self._said(cells, self._sku) else self._handle
        detail = f"is that of line {first[0] if first else '?'} already"
        return self._refused(line, cells, index, Fault("duplicate_product", detail))

    def _bound_fields(self) -> dict[int, str]:
        """What each column that is not simply kept is about."""
        found = {index: field for index, field, _ in (*self._product, *self._variant)}
        for name, value in self._options:
            found |= {name: "attribute", value: "attribute values"}
        found |= {self._type: "type", self._parent: "parent"}
        return {index: field for index, field in found.items() if index != _MISSING}

    def _keep(self, product: ProductRows, rows: Sequence[Row]) -> None:
        parent = self._parent_of(rows)
        options = {variant.line: variant.options for variant in product.variants}
        spoken = [parent] if parent else []
        spoken += [row for row in rows if row is not parent and row[0] in options]
        keys = ["" if row is parent else variant_key(options[row[0]]) for row in spoken]
        kept: JSONObject = {}
        simply_kept = set(self._kept)
        for index, heading in enumerate(self._heading):
            if index in self._fields:
                per_variant = True
                found = [self._left_over(product, row, index, parent) for row in spoken]
            elif index in simply_kept:
                per_variant = parent is None or columns.is_about_variants(heading.lower())
                found = [row[1][index] for row in spoken]
            else:
                continue
            if any(found):
                said = [
                    (key, self._cell(*row, index, text_of) if cell else "")
                    for key, row, cell in zip(keys, spoken, found, strict=True)
                ]
                if (value := folded(said, per_variant)) is not None:
                    kept[heading] = value
        if kept:
            product.fields["metadata"] = kept | product.fields.get("metadata", {})

    def _left_over(self, product: ProductRows, row: Row, index: int, parent: Row | None) -> str:
        """The cell of a column, unless a field tells what it says in this row."""
        line, cells = row
        cell, field = unguarded(cells[index]), self._fields[index]
        if not cell.strip():
            return ""
        if row is not parent:
            options = next(v.options for v in product.variants if v.line == line)
            is_told = self._is_told_of_variation(product, options, row, index, parent)
        elif any(v.line == line for v in product.variants) and "variable" not in self._types(cells):
            is_told = field in _OF_PRODUCTS | _OF_VARIANTS or (field, cell) == ("type", "simple")
        else:
            is_told = self._is_told_of_parent(product, cells, index)
        return "" if is_told and _is_told_whole(field, cell.strip()) else cells[index]

    def _is_told_of_parent(self, product: ProductRows, cells: Sequence[str], index: int) -> bool:
        cell, field = unguarded(cells[index]), self._fields[index]
        if field == "attribute":
            return cell in product.options
        if field == "attribute values":
            name = next(unguarded(cells[n]) for n, v in self._options if v == index)
            values_ = [v.options[name] for v in product.variants if name in v.options]
            return bool(cell == columns.joined(dict.fromkeys(values_)))
        if field == "sku":
            return cell == product.handle and not product.found_by_sku
        return field in _OF_PRODUCTS or (field, cell) == ("type", "variable")

    def _is_told_of_variation(
        self,
        product: ProductRows,
        options: Mapping[str, str],
        row: Row,
        index: int,
        parent: Row | None,
    ) -> bool:
        cells = row[1]
        cell, field = unguarded(cells[index]), self._fields[index]
        if field == "attribute":
            value = next(v for n, v in self._options if n == index)
            is_any = not cells[value].strip()
            return not is_any or (parent is not None and parent[1][index] == cells[index])
        if field == "name":
            name: str | None = product.fields.get("name")
            return cell == columns.variation_name(name, options)
        if field in ("parent", "attribute values") or field in _OF_VARIANTS:
            return True
        return (field, cell) in (("type", "variation"), ("status", "1"))

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The rows of these lines, to mend and send again, and the parents of their variations."""
        products = {key for key, (line, _) in self.keyed() if key and line in refused}
        rows = (
            row
            for key, row in self.keyed()
            if row[0] in refused or (key in products and "variation" not in self._types(row[1]))
        )
        return mending.written(rows, refused, self._heading, self._table.delimiter)


_OF_PRODUCTS = frozenset(field for _, field, _ in columns.FORMAT.product)
_OF_VARIANTS = frozenset(field for _, field, _ in columns.FORMAT.variant)


def _is_told_whole(field: str, cell: str) -> bool:
    """Whether a field holds all that a cell of its column says."""
    match field:
        case "category" | "vendor":
            return len(columns.split(cell)) == 1
        case "status":
            return cell in ("1", "-1")
        case "backorder":
            return cell != "notify"
        case _:
            return True
