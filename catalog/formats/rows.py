"""What every catalogue format is read into, and the grouping of rows into products."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.formats.table import Row
from models import JSONObject
from schemas import MAX_IMAGES, MAX_VARIANTS

MAX_GROUP_ROWS = MAX_VARIANTS + MAX_IMAGES
# Rows of products that come back later in the file wait in memory for the rest; beyond this many
# the product that began first is let go in parts, which costs an exact count, and no data.
MAX_HELD_ROWS = 20_000


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


@dataclass(slots=True)
class ProductRows:
    """One product as a file gives it; an absent field keeps what is stored."""

    handle: str
    lines: list[int]
    fields: JSONObject = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    images: list[JSONObject] = field(default_factory=list)
    variants: list[VariantRow] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """The rows of a file that share a key; `excess` are the lines beyond what a product holds."""

    key: str
    rows: list[Row] = field(default_factory=list)
    excess: list[int] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Take a row in, or only its line once the group is full."""
        if len(self.rows) < MAX_GROUP_ROWS:
            self.rows.append(row)
        else:
            self.excess.append(row[0])

    def __len__(self) -> int:
        return len(self.rows) + len(self.excess)


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
        group = held.setdefault(key, Group(key))
        group.add(row)
        held_rows += 1
        if number == last_row[key] or held_rows > MAX_HELD_ROWS:
            done = held.pop(key if number == last_row[key] else next(iter(held)))
            held_rows -= len(done)
            yield done
    if current is not None:
        yield current
    yield from held.values()
