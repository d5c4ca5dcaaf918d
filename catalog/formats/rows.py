"""What every catalogue format is read into, and the grouping of rows into products."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from models import JSONObject
from schemas import MAX_IMAGES, MAX_VARIANTS

MAX_GROUP_ROWS = MAX_VARIANTS + MAX_IMAGES
# Rows of products that come back later in the file wait in memory for the rest; beyond this many
# the product that began first is let go in parts, which costs an exact count, and no data.
MAX_HELD_ROWS = 20_000


Row = tuple[int, Any]  # physical line of the record's beginning (heading = 1), and the record
Open = Callable[[], io.RawIOBase]  # a file, from its beginning, each time


@dataclass(frozen=True, slots=True)
class Options:
    """What the sender says of a file; None: find out."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    mapping: Mapping[str, str] | None = None  # our field → the file's column
    blank_clears: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row has no effect: its line, and the cell that is wrong, if it is one."""

    line: int
    column: str | None
    value: str | None
    code: str
    detail: str


@dataclass(slots=True)
class VariantRow:
    """One variant as a file gives it; an absent field keeps what is stored."""

    line: int
    options: Mapping[str, str]
    fields: Mapping[str, Any]
    cleared: AbstractSet[str] = frozenset()  # fields whose cells are blank, where that clears
    further: Sequence[int] = ()  # lines that tell of it as well

    @property
    def lines(self) -> Sequence[int]:
        """All lines that tell of it."""
        return (self.line, *self.further)


@dataclass(slots=True)
class ProductRows:
    """One product as a file gives it; an absent field keeps what is stored.

    `found_by_sku`: the format knows no handles. The product is then the one living product that
    has one of the variants' SKUs, and `handle`, which may be empty, is for a new one.
    `only_existing`: the format says too little to create a product or a variant.
    """

    handle: str
    lines: list[int]
    fields: JSONObject = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    images: list[JSONObject] = field(default_factory=list)
    variants: list[VariantRow] = field(default_factory=list)
    cleared: AbstractSet[str] = frozenset()
    found_by_sku: bool = False
    only_existing: bool = False


@dataclass(slots=True)
class Group:
    """The rows of a file that share a key; `excess` are the lines beyond what a product holds.

    `is_part`: other rows of the key are in other groups.
    """

    key: str
    rows: list[Row] = field(default_factory=list)
    excess: list[int] = field(default_factory=list)
    is_part: bool = False

    @property
    def lines(self) -> list[int]:
        """The lines of all its rows."""
        return [*(line for line, _ in self.rows), *self.excess]

    def add(self, row: Row) -> None:
        """Take a row in, or only its line once the group is full."""
        if len(self.rows) < MAX_GROUP_ROWS:
            self.rows.append(row)
        else:
            self.excess.append(row[0])

    def __len__(self) -> int:
        return len(self.rows) + len(self.excess)


class Reader(Protocol):
    """One catalogue file, opened and recognised."""

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file: `format`, its `encoding`, its `delimiter`."""

    def keyed(self) -> Iterator[tuple[str, Row]]:
        """Each row, from the file's beginning, with the key of its product; empty if it has none.

        May be asked for again. Raises Unreadable.
        """

    def read(self, group: Group) -> tuple[ProductRows | None, Sequence[Refusal]]:
        """The product of a group's rows, if any is left of it, and every refused row."""

    def column_of(self, field: str) -> str | None:
        """The file's own name for what feeds a product's field, if it has it."""

    @property
    def report_media_type(self) -> str:
        """Of what `report` writes."""

    def report(self, refused: Mapping[int, str]) -> Iterator[bytes]:
        """The rows of these lines with `_line` and `_error`, to be mended and sent again.

        `refused`: what is wrong with each line. Raises Unreadable.
        """


class Format(Protocol):
    """What each module of a format offers."""

    NAME: str

    def matches(self, columns: frozenset[str]) -> bool:
        """Whether a heading, in lower case, is of this format."""

    def read(self, open_: Open, options: Options) -> Reader:
        """A reader of this file. Raises Unreadable."""


class Writer(Protocol):
    """A catalogue file being written: head, then any number of pieces, then tail, in UTF-8."""

    media_type: str
    extension: str

    def head(self) -> bytes:
        """What the file begins with."""

    def rows(self, products: Sequence[JSONObject]) -> bytes:
        """Some products, as their public documents, in the file's form."""

    def tail(self) -> bytes:
        """What the file ends with."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a writer has to know of all products before it writes the first."""

    metadata: Sequence[str] = ()  # keys of `metadata` that become columns, in order
    options: int = 0  # the most options of one product
    images: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a file tells: how many rows, and where returning keys are last seen."""

    rows: int
    last_row: Mapping[str, int]


def survey(keys: Iterable[str]) -> Survey:
    """Count the rows by their keys, and find the keys whose rows are not adjacent."""
    seen: set[int] = set()  # hashes: a million handles in tens of megabytes
    last_row: dict[str, int] = {}
    previous = None
    number = 0
    for number, key in enumerate(keys, 1):
        if not key:
            continue
        if key != previous:
            if hash(key) in seen:
                last_row[key] = number
            seen.add(hash(key))
            previous = key
        elif key in last_row:
            last_row[key] = number
    return Survey(number, last_row)


def groups(keyed_rows: Iterable[tuple[str, Row]], last_row: Mapping[str, int]) -> Iterator[Group]:
    """The rows of each product together, products in the order in which they are complete.

    The order depends on the file alone, so that a job can go on after the products it has done.
    """
    held: dict[str, Group] = {}
    parted: set[str] = set()
    held_rows = 0
    current: Group | None = None
    for number, (key, row) in enumerate(keyed_rows, 1):
        if not key:  # belongs to no product, and parts none
            yield Group(key, [row])
            continue
        if current is not None and current.key != key:
            yield current
            current = None
        if key not in last_row:
            current = current or Group(key)
            current.add(row)
            continue
        group = held.setdefault(key, Group(key, is_part=key in parted))
        group.add(row)
        held_rows += 1
        if number == last_row[key]:
            done = held.pop(key)
        elif held_rows > MAX_HELD_ROWS:
            done = held.pop(next(iter(held)))
            done.is_part = True
            parted.add(done.key)
        else:
            continue
        held_rows -= len(done)
        yield done
    if current is not None:
        yield current
    yield from held.values()
