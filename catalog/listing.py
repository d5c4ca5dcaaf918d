"""Pages of products: filtered, sorted, searched and counted by one statement.

A page begins at a key (the sort's value and the id), never at a number of rows: so the
hundred-thousandth costs what the first does, and it neither repeats nor misses a row when
others come and go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog import filters, search
from reads import fetch

COUNT_LIMIT = 10_000  # counting ends here, so that it costs the same in every shop


@dataclass(frozen=True, slots=True)
class _Order:
    """What a list is sorted by: SQL, and the type in which its values come back."""

    column: str
    type: str


_BY_ID = _Order("p.id", "bigint")
_ORDERS = {
    "id": _BY_ID,
    "name": _Order("p.name", "text"),
    "price": _Order("p.lowest_price", "numeric"),
    "created_at": _Order("p.created_at", "timestamptz"),
    "updated_at": _Order("p.updated_at", "timestamptz"),
}
_RANK = _Order("p.rank", "numeric")
SORTS = tuple(f"{sign}{name}" for name in _ORDERS for sign in ("", "-"))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which products a list shows, and in which order; `filters` by their parameters' names.

    Without a sort, the order is that of the ids, or with `q` the best first.
    """

    statuses: tuple[str, ...]
    filters: Mapping[str, Any] = field(default_factory=dict)
    q: str | None = None
    sort: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is one of the few lists that differ in nothing but the sort."""
        return not self.filters and self.q is None

    @property
    def order(self) -> _Order:
        """The column of the sort."""
        if self.sort is None:
            return _BY_ID if self.q is None else _RANK
        return _ORDERS[self.sort.removeprefix("-")]


def page(
    chosen: Selection,
    limit: int,
    after: Sequence[str] | None = None,
    *,
    backwards: bool = False,
    counted: bool = False,
    documents: bool = True,
) -> Sequence[Any]:
    """Up to `limit` products behind the key `after`; `backwards`: before it, the nearest first.

    A row has `id`, `version`, `document_shape` and `document` (in UTF-8; NULL without
    `documents`), `key` gives its key, and `total` is NULL unless `counted`: see `count`. A search
    that finds nothing is repeated, forgiving small typing errors; keys say so to the pages behind.
    """

    def rows(*, forgiving: bool) -> Sequence[Any]:
        query = _Query(chosen, forgiving=forgiving)
        sql = query.page(limit, after, backwards=backwards, counted=counted, documents=documents)
        return fetch(sql, query, prepared=chosen.is_plain, raw=True)

    found = rows(forgiving=_forgives(after))
    if found or after is not None or chosen.q is None:
        return found
    return rows(forgiving=True)


def states(rows: Sequence[Any]) -> list[Any]:
    """All that rows say but their documents, which change with their versions."""
    return [row[:-1] for row in rows]


def key(row: Any) -> list[str]:
    """The texts by which another page begins at this row."""
    value = [] if row.value is None else [row.value.decode()]
    return [*value, str(row.id), _FORGIVING if row.forgiving else ""]


def count(chosen: Selection, after: Sequence[str] | None) -> int:
    """How many products all pages of the selection hold, counted up to COUNT_LIMIT + 1."""
    query = _Query(chosen, forgiving=_forgives(after))
    return int(fetch(f"SELECT {query.total()}", query)[0][0])


def _forgives(key: Sequence[str] | None) -> bool:
    return key is not None and key[-1] == _FORGIVING


class _Query(dict[str, Any]):
    """One statement: it is the mapping of its parameters, and its methods give the SQL."""

    def __init__(self, chosen: Selection, *, forgiving: bool) -> None:
        super().__init__()
        self.chosen = chosen
        self.forgiving = forgiving
        self.search = chosen.q and search.Search(chosen.q, forgiving=forgiving)

    def page(
        self,
        limit: int,
        after: Sequence[str] | None,
        *,
        backwards: bool,
        counted: bool,
        documents: bool,
    ) -> str:
        """The rows of a page."""
        order = self.chosen.order
        descending = (self.chosen.sort or "").startswith("-") != backwards
        common, selected = self._selected(search.RANKED_HITS)
        if after is not None:
            selected += f" AND {self._beyond(after, '<' if descending else '>')}"
        columns = list(dict.fromkeys([order.column, "p.id"]))
        direction = "DESC" if descending else "ASC"
        # In figures, since of a parameter a prepared statement expects a tenth of all rows.
        selected += f" ORDER BY {', '.join(f'{column} {direction}' for column in columns)}"
        selected += f" LIMIT {int(limit)}"
        value = "NULL" if order is _BY_ID else f"{order.column}::text"
        if not self.chosen.is_plain:
            # Found first, and only then read: what is sorted and left out costs its index alone.
            selected = (
                f"FROM (SELECT p.id, {order.column} AS value {selected}) found"
                f" JOIN products p USING (id) ORDER BY found.value {direction}, p.id {direction}"
            )
            value = "NULL" if order is _BY_ID else "found.value::text"
        return (
            f"{common}SELECT p.id, p.version, p.document_shape,"
            f" {value} AS value, {self.forgiving} AS forgiving,"
            f" {self.total() if counted else 'NULL'} AS total,"
            f" {'p.document' if documents else 'NULL'} AS document {selected}"
        )

    def total(self) -> str:
        """The number of products on all pages, as a scalar."""
        most = COUNT_LIMIT + 1
        common, selected = self._selected(most)
        return (
            f"({common}SELECT count(*) FROM (SELECT {selected} LIMIT {self._bind(most)}) counted)"
        )

    def _selected(self, most_hits: int) -> tuple[str, str]:
        """Common table expressions, and FROM with WHERE."""
        where = filters.where(self.chosen.filters, self.chosen.statuses, self._bind)
        if not self.search:
            return "", f"FROM products p WHERE {where}"
        if self.chosen.sort:
            return "", f"FROM products p WHERE {where} AND {self.search.condition(self._bind)}"
        hits = self.search.hits(where, self._bind, most_hits)
        return f"WITH {hits} ", "FROM hits p WHERE true"

    def _beyond(self, after: Sequence[str], sign: str) -> str:
        *value, product_id = (self._bind(part) for part in after[:-1])
        if not value:
            return f"p.id {sign} {product_id}::bigint"
        order = self.chosen.order
        return f"({order.column}, p.id) {sign} ({value[0]}::{order.type}, {product_id}::bigint)"

    def _bind(self, value: Any) -> str:
        name = f"p{len(self)}"
        self[name] = value
        return f"%({name})s"


_FORGIVING = "~"  # the last part of a key
