"""The query parameters that choose products and their fields, for every address that lists them."""

import json
from collections.abc import Sequence
from typing import Any

import values
from api import auth, context
from api.inputs import Parameter, arguments, by_rule, choice
from catalog import listing, search
from catalog.filters import FILTERS, Filter
from errors import Fault
from models import PRODUCT_STATUSES, JSONObject
from schemas import ProductSchema

_NAMES = tuple(ProductSchema().fields)
_ANY_NAME = f"({'|'.join(_NAMES)})"
_MEANINGS = {
    "eq": "is this",
    "in": "is one of these, up to 100 between commas",
    "gt": "is greater than this",
    "gte": "is this or greater",
    "lt": "is less than this",
    "lte": "is this or less",
}


def _filter(name: str, kind: Filter) -> Parameter:
    schema = kind.field.schema if kind.operator != "in" else {"type": "string", "minLength": 1}
    subject = f"Only products {'with a variant ' if kind.field.of_variant else ''}whose"
    description = f"{subject} {name.partition('[')[0]} {_MEANINGS[kind.operator]}."
    return Parameter(name, kind.read, schema, description)


def _field_names(sent: str) -> frozenset[str]:
    names = frozenset(values.comma_separated(sent, 100))
    if unknown := names.difference(_NAMES):
        raise Fault("unknown_field", f"names {min(unknown)!r}, which is no field of a product")
    return names


CHOOSING = (
    by_rule(
        "q",
        values.label,
        "Words to search for. A list without `sort` shows the best hits first, and ends after some"
        f" {search.RANKED_HITS}; one with `sort` goes through all.",
    ),
    *(_filter(name, kind) for name, kind in FILTERS.items()),
)
SELECTION = (
    choice("sort", listing.SORTS, "What to sort by; a minus sign reverses. The id breaks ties."),
    *CHOOSING,
)
FIELDS = Parameter(
    "fields",
    _field_names,
    {"type": "string", "pattern": f"^{_ANY_NAME}(,{_ANY_NAME})*$"},
    f"The fields to show, between commas: {', '.join(_NAMES)}.",
)
INCLUDE = choice(
    "include",
    ("count",),
    f"Count the products that are asked for: `count` is exact up to {listing.COUNT_LIMIT}, and at"
    " least that many where `count_exact` is false.",
)


def visible() -> tuple[str, ...]:
    """The statuses that the caller may see."""
    return PRODUCT_STATUSES if auth.may("products:read") else ("active",)


def chosen(query: JSONObject) -> listing.Selection:
    """What the parameters in SELECTION ask for, within what the caller may see."""
    filters = {name: query[name] for name in FILTERS if query[name] is not None}
    return listing.Selection(visible(), filters, query["q"], query["sort"])


def filters_as_sent() -> dict[str, str]:
    """The current request's filters, whose values have been read without a fault."""
    sent = arguments(context.current().query_string)
    return {name: values[0] for name, values in sent.items() if name in FILTERS}


def counted(
    selection: listing.Selection, found: Sequence[Any], after: Sequence[str] | None
) -> JSONObject:
    """What INCLUDE adds to a page of rows that were `counted`, behind the key `after`."""
    if found:
        number = found[0].total
    else:  # behind a key that nothing is behind any more, there may be something before it
        number = listing.count(selection, after) if after is not None else 0
    return {
        "count": min(number, listing.COUNT_LIMIT),
        "count_exact": number <= listing.COUNT_LIMIT,
    }


def only(fields: frozenset[str] | None, documents: list[bytes]) -> list[bytes]:
    """The JSON documents with just these fields, in their own order; all of it for None."""
    return documents if fields is None else [_only(fields, document) for document in documents]


def _only(fields: frozenset[str], document: bytes) -> bytes:
    kept = {name: value for name, value in json.loads(document).items() if name in fields}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
