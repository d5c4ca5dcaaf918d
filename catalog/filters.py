"""What products are filtered by: one entry per field, each with its operators and its SQL.

The SQL consists of this module's own words; what a client sent travels as parameters only.
`p` is the product, `v` one of its variants.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import values
from models import PRODUCT_STATUSES, JSONObject

MAX_CHOICES = 100  # of one [in]
Bind = Callable[[Any], str]  # takes a value along as a parameter, returns its placeholder

_COMPARED = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_CATEGORY = 'p.category COLLATE "C"'


@dataclass(frozen=True, slots=True)
class Field:
    """A field that products are filtered by.

    `equal` is the SQL that holds for one value `{0}`; `any_of`, where the index wants another
    form, for an array of them. `column` is what greater and less compare, where they mean
    something, and `known` the SQL for when there is something to compare. `of_variant`: it
    holds for a product that has a variant for which it holds.
    """

    read: Callable[[str], Any]  # raises Fault
    equal: str
    any_of: str | None = None
    column: str | None = None
    known: str | None = None
    of_variant: bool = False

    @property
    def schema(self) -> JSONObject:
        """The JSON Schema of one value."""
        if isinstance(self.read, partial):
            return {"type": "string", "enum": list(self.read.args[0])}
        return dict(values.SHAPES[self.read])


@dataclass(frozen=True, slots=True)
class Filter:
    """A field with an operator: one parameter of the list, such as `price[gte]`."""

    field: Field
    operator: str

    def read(self, sent: str) -> Any:
        """The value that was sent, or the list of them for `[in]`. Raises Fault."""
        if self.operator != "in":
            return self.field.read(sent)
        return [self.field.read(choice) for choice in values.comma_separated(sent, MAX_CHOICES)]

    def condition(self, value: Any, bind: Bind) -> str:
        """The SQL that holds for the products, or variants, that pass."""
        if self.operator == "eq":
            return self.field.equal.format(bind(value))
        if self.operator != "in":
            compared = f"{self.field.column} {_COMPARED[self.operator]} {bind(value)}"
            return f"{compared} AND {self.field.known}" if self.field.known else compared
        if self.field.any_of:
            return self.field.any_of.format(bind(value))
        return f"({' OR '.join(self.field.equal.format(bind(choice)) for choice in value)})"


def _plain(column: str, read: Callable[[str], Any]) -> Field:
    return Field(read, f"{column} = {{0}}", f"{column} = ANY({{0}})", of_variant=column[0] == "v")


def _ordered(column: str, read: Callable[[str], Any], known: str | None = None) -> Field:
    return replace(_plain(column, read), column=column, known=known)


_STATUS = _plain("p.status", partial(values.choice, PRODUCT_STATUSES))
FIELDS = {
    "id": _ordered("p.id", values.row_id),
    "status": _STATUS,
    "vendor": _plain("p.vendor", values.label),
    # A path stands for itself and for all below it: `A > B` sorts between `A > ` and `A >!`, as
    # an exclamation mark follows the blank. The collation makes it so in every database.
    "category": Field(
        values.name,
        f"({_CATEGORY} = {{0}} OR {_CATEGORY} >= {{0}} || ' > ' AND {_CATEGORY} < {{0}} || ' >!')",
    ),
    "tag": Field(values.label, "p.tags ? {0}", "p.tags ?| {0}"),
    "handle": _plain("p.handle", values.handle),
    "sku": _plain("v.sku", values.label),
    # A product's price is its lowest, for filters as for the sort: only then does one index
    # serve "from 10 to 20, the cheapest first" without reading all that is dearer or cheaper.
    "price": _ordered("p.lowest_price", values.money, "p.lowest_price < 'Infinity'"),
    "stock": _ordered("v.stock", values.stock),
    "created_at": _ordered("p.created_at", values.timestamp),
    "updated_at": _ordered("p.updated_at", values.timestamp),
}


def _operators(name: str, field: Field) -> Iterable[tuple[str, Filter]]:
    yield name, Filter(field, "eq")
    yield f"{name}[in]", Filter(field, "in")
    if field.column:
        for operator in _COMPARED:
            yield f"{name}[{operator}]", Filter(field, operator)


# By the name of the parameter.
FILTERS = {
    parameter: made for name, field in FIELDS.items() for parameter, made in _operators(name, field)
}


def where(sent: Mapping[str, Any], visible: Sequence[str], bind: Bind) -> str:
    """The condition for living products of visible statuses that pass every filter sent.

    What is asked of variants is asked of one and the same.
    """
    conditions = ["p.deleted_at IS NULL"]
    of_variant: list[str] = []
    for name, value in sent.items():
        kind = FILTERS[name]
        if kind.field is not _STATUS:
            found = kind.condition(value, bind)
            (of_variant if kind.field.of_variant else conditions).append(found)
    statuses = _statuses(sent, visible)
    if set(statuses) != set(PRODUCT_STATUSES):
        # As one condition: of two that contradict each other the planner expects some rows, and
        # reads all others in search of them.
        conditions.append(f"p.status = ANY({bind(statuses)}::text[])")
    if of_variant:
        conditions.append(_VARIANT.format(" AND ".join(of_variant)))
    return " AND ".join(conditions)


def _statuses(sent: Mapping[str, Any], visible: Sequence[str]) -> list[str]:
    one, some = sent.get("status"), sent.get("status[in]")
    return [
        status for status in visible if one in (None, status) and (some is None or status in some)
    ]


_VARIANT = "EXISTS (SELECT FROM variants v WHERE v.product_id = p.id AND {})"
