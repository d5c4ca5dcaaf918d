"""Any other file, with the sender's word for which of its columns feeds which field.

    {"name": "Artikel", "price": "VK-Preis", "option1_value": "Farbe", "vendor": "=Beispiel AG"}

The keys are the fields of our own CSV. A value is

- a heading, in whatever case; of a JSON object a name, or a path such as `pricing.current`;
- `#3`, the third column. If every column is given so, the file has no heading;
- `=text`, which is the same for every row.

The name of an option, unless given, is the heading of its values. Without a `handle` a product is
known by its SKU, where the rows have one and no options; otherwise its handle is made from its
name. Rows of one handle are one product, and a row that has an option's value, but neither handle
nor name, belongs to the row above. What is not mapped is kept in `metadata`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import values
from catalog.formats import cells, encodings, json_array, mending, native, ndjson, objects
from catalog.formats.encodings import Encoding
from catalog.formats.flat import Columns, FlatFormat, FlatReader, distinct
from catalog.formats.numbers import unambiguous
from catalog.formats.objects import encoded, no_object, reported
from catalog.formats.rows import Group, Open, Options, ProductRows, Reader, Refusal, Row
from catalog.formats.sheets import guarded, unguarded
from catalog.formats.table import Sheet, Table
from errors import Unreadable
from models import JSONObject
from schemas import MAX_OPTIONS

NAME = "mapped"
_NUMBER = re.compile(r"#[1-9][0-9]{0,3}")
_BETWEEN_URLS = re.compile(r"[\s,;|]+(?=https?://)", re.IGNORECASE)
_BETWEEN_TAGS = re.compile(r"[,;|\r\n]")
_REST = "everything else"  # of a JSON object, for `metadata`
_BY_SKU = "sku:"  # no derived handle has a colon


def _images(cell: str) -> list[JSONObject]:
    urls = dict.fromkeys(map(values.url, _BETWEEN_URLS.split(cell.strip())))
    return [{"url": url, "alt": None} for url in urls]


def _tags(cell: str) -> list[str]:
    return cells.tags(_BETWEEN_TAGS.sub(",", cell))


_RULES = {"images": _images, "tags": _tags}


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file by `options.mapping`.

    Raises Unreadable, also for a column that the file does not have.
    """
    mapping = dict(options.mapping or {})
    columns = [column for column in mapping.values() if not column.startswith("=")]
    if (objects := _objects(open_, options)) is not None:
        mapping.setdefault("metadata", _REST)
        records = _Records(*objects, columns, mapping.get("category"))
        return _MappedReader(_View(records, mapping), options)
    headed = not columns or not all(map(_NUMBER.fullmatch, columns))
    return _MappedReader(_View(Table(open_, options, headed=headed), mapping), options)


def _objects(open_: Open, options: Options) -> tuple[Callable[[], Iterator[Row]], Encoding] | None:
    """The file's JSON objects, if it holds such."""
    encoding = encodings.of_json(open_, options.encoding)
    beginning = encoding.beginning(encodings.beginning(open_))
    for module in (json_array, ndjson):
        if module.matches(beginning):
            return partial(module.objects, open_, encoding), encoding
    return None


class _View(Sheet):
    """A sheet with further columns: of texts that are the same in every row, and of a handle."""

    def __init__(self, source: Sheet, mapping: Mapping[str, str]) -> None:
        super().__init__()
        self.source = source
        self.delimiter = source.delimiter
        named = {" ".join(column.split()).lower() for column in mapping.values()}
        self.heading = distinct(source.heading, named)
        self.width = len(self.heading)
        self.columns: dict[str, str] = {}  # field → heading
        self._texts: list[str] = []
        for field, column in mapping.items():
            self.columns[field] = self._place(field, column)
        for field, heading in [*self.columns.items()]:
            name = field.replace("_value", "_name")
            if field.startswith("option") and name not in self.columns:
                self.columns[name] = self._place(name, f"={heading}")
        self._values = [
            self.heading.index(heading)
            for field, heading in self.columns.items()
            if field.startswith("option") and field.endswith("_value")
        ]
        self._name, self._sku = self._index("name"), self._index("sku")
        known_by = self._index("handle")
        above = self._name if known_by is None else known_by
        self._above = None if above is None or above >= self.width else above
        self.knows_handles = known_by is not None
        if not self.knows_handles:
            if self._name is None and self._sku is None:
                detail = "The mapping names no column for handle, sku or name: one is needed."
                raise Unreadable(detail, code="mapping_incomplete")
            self.columns["handle"] = f"handle from {self.columns.get('name', 'SKU')}"
            self.heading.append(self.columns["handle"])

    def _index(self, field: str) -> int | None:
        return self.heading.index(self.columns[field]) if field in self.columns else None

    def _place(self, field: str, column: str) -> str:
        """The heading of what feeds a field."""
        if column.startswith("="):
            self._texts.append(column[1:])
            self.heading.append(f"{field}{column}")
            return self.heading[-1]
        names = self.heading[: self.width]
        wanted = " ".join(column.split()).lower()
        if found := [name for name in names if name.lower() == wanted]:
            return found[0]
        if _NUMBER.fullmatch(column) and (index := int(column[1:]) - 1) < self.width:
            self.heading[index] = names[index] or column
            return self.heading[index]
        shown = values.storable(", ".join(name for name in names if name), 1000)
        detail = f"The mapping gives {field} the column {column}, and the file has: {shown}."
        raise Unreadable(detail, code="column_missing")

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file."""
        return {**self.source.about, **super().about}

    def rows(self) -> Iterator[Row]:
        """The rows, those that are not ragged with the further columns."""
        above = ""
        for line, row in self.source.rows():
            if len(row) != self.width:
                above = ""
                yield line, row if isinstance(row, _NoRow) else _NoRow(row)
                continue
            if self._above is not None:  # what a row leaves blank is that of the row above
                if not row[self._above].strip() and any(row[i].strip() for i in self._values):
                    row = [*row]  # noqa: PLW2901
                    row[self._above] = above
                above = row[self._above]
            whole = [*row, *self._texts]
            yield line, whole if self.knows_handles else [*whole, self._handle(whole)]

    def identity(self, row: list[str]) -> int:
        """The index of the cell that tells which product a row is about."""
        if self.knows_handles:
            return self._index("handle") or 0
        by_sku = self._sku if row[-1].startswith(_BY_SKU) else self._name
        return by_sku or 0

    def _handle(self, row: list[str]) -> str:
        sku = "" if self._sku is None or self._values else unguarded(row[self._sku]).strip()
        if sku:
            return _BY_SKU + sku.replace("%", "%25").replace("/", "%2F")
        name = "" if self._name is None else unguarded(row[self._name])
        return values.handle_from(name) if name.strip() else ""


class _NoRow(list[str]):
    """Stands for cells where the file has something else: too many or too few, or no object."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


class _Records(Sheet):
    """JSON objects as rows: a column for each path, and one for what no path takes as it is."""

    def __init__(
        self,
        objects: Callable[[], Iterator[Row]],
        encoding: Encoding,
        paths: Sequence[str],
        category: str | None,
    ) -> None:
        super().__init__()
        self._objects = objects
        self._encoding = encoding
        self._paths = list(dict.fromkeys(paths))
        self._category = category  # a list there is a path: `Drinks > Tea`
        self.heading = [*self._paths, _REST]

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file."""
        return {"encoding": self._encoding.name}

    def rows(self) -> Iterator[Row]:
        """The cells of each object."""
        for line, found in self._objects():
            if not isinstance(found, dict):
                yield line, _NoRow(found)
                continue
            row = [
                _cell(_at(found, path, path.split(".")), " > " if path == self._category else "\n")
                for path in self._paths
            ]
            rest = {name: value for name, value in found.items() if name not in self._paths}
            yield line, [*row, encoded(rest) if rest else ""]

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The objects of these lines."""
        return reported(self._objects(), refused)


def _at(found: Any, path: str, names: Sequence[str]) -> Any:
    """What stands at a path; of an array, what stands there in each of its items."""
    if not names:
        return found
    if isinstance(found, list):
        return [_at(item, path, names) for item in found]
    if not isinstance(found, dict):
        return None
    return found[path] if path in found else _at(found.get(names[0]), "", names[1:])


def _cell(value: Any, between: str) -> str:
    match value:
        case None:
            return ""
        case str():
            return guarded(value) if value.startswith("'") else value
        case bool():
            return str(value).lower()
        case int() | Decimal():
            return unambiguous(Decimal(value))
        case list():
            return between.join(filter(None, (_cell(item, between) for item in value)))
        case _:
            return encoded(value)


class _MappedReader(FlatReader):
    """Reads such a sheet; what is no row at all is told as what it is."""

    def __init__(self, view: _View, options: Options) -> None:
        super().__init__(_format(view.columns), view, options)
        self._view = view
        if isinstance(view.source, _Records):
            self.report_media_type = objects.MEDIA_TYPE

    def read(self, group: Group) -> tuple[ProductRows | None, list[Refusal]]:
        """The product of a group's rows, known by its SKU if the file has no handles."""
        product, refusals = super().read(group)
        by_sku = product is not None and product.handle.startswith(_BY_SKU)
        if product is not None and by_sku and not self._view.knows_handles:
            product.found_by_sku = True
            name = product.fields.get("name")
            product.handle = values.handle_from(name) if name else ""
        cells_of = dict(group.rows)
        return product, [self._located(refusal, cells_of) for refusal in refusals]

    def _located(self, refusal: Refusal, cells_of: Mapping[int, list[str]]) -> Refusal:
        """A second row of one product, with the cell by which it is that product's."""
        if refusal.code != "duplicate_variant" or refusal.value is not None:
            return refusal
        index = self._view.identity(cells_of[refusal.line])
        value = cells_of[refusal.line][index][:200]
        return replace(refusal, column=self._view.heading[index], value=value)

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The refused rows, without the further columns."""
        source = self._view.source
        if isinstance(source, _Records):
            return source.report(refused)
        width = self._view.width
        rows = (
            (line, row.found if isinstance(row, _NoRow) else row[:width])
            for line, row in self._view.rows()
            if line in refused
        )
        return mending.written(rows, refused, self._view.heading[:width], source.delimiter)

    def _homeless(self, row: Row) -> Refusal | None:
        line, found = row
        if not isinstance(found, _NoRow):
            says_nothing = not any(cell.strip() for cell in found[: self._view.width])
            return None if says_nothing else super()._homeless(row)
        if isinstance(self._view.source, _Records):
            return no_object(line, found.found)
        detail = f"has {len(found.found)} cells, the heading {self._view.width}"
        return Refusal(line, None, None, "ragged_row", detail)


def _format(columns: Mapping[str, str]) -> FlatFormat:
    def bound(fields: Columns) -> Columns:
        return [
            (columns[field].lower(), field, _RULES.get(field, rule))
            for _, field, rule in fields
            if field in columns
        ]

    pairs = [
        (columns[f"option{n}_name"].lower(), columns[f"option{n}_value"].lower())
        for n in range(1, MAX_OPTIONS + 1)
        if f"option{n}_value" in columns
    ]
    own = native.FORMAT
    return FlatFormat(
        name=NAME,
        handle_columns=[columns["handle"].lower()],
        product=bound(own.product),
        variant=bound(own.variant),
        option_pairs=pairs,
        point=None,
    )
