"""The read model: turns `ProductSchema` into the SQL that renders a product's public JSON.

A document is rendered by PostgreSQL in the transaction that writes the product, and read back as
it is. The schema stays the only declaration of the shape: this module walks its fields, and a
property test holds what PostgreSQL renders against `ProductSchema().dump()`.
"""

import zlib
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Row, or_, select, text
from sqlalchemy.orm import Session

from catalog import search
from models import Product
from schemas import Money, ProductSchema, Timestamp, VariantSchema, Weight


def _document(source: str) -> str:
    """SQL for the document (text) of the product in `source`, a relation with its columns."""
    return f"(SELECT row_to_json(d)::text FROM (SELECT {columns(ProductSchema(), source)}) d)"


def render(session: Session, product_ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Render these products' documents in the caller's transaction; returns what is to be read."""
    return session.execute(_RENDER, {"ids": list(product_ids), "shape": SHAPE}).all()


def are_outdated(session: Session) -> bool:
    """Whether there are documents that were rendered by other code."""
    return bool(session.scalar(select(select(Product.id).where(_OUTDATED).exists())))


def render_outdated(session: Session, after: int = 0, limit: int = 100) -> Sequence[int]:
    """Render some documents that were rendered by other code, behind the id `after`.

    Returns the ids, in order; none at the end. Waits for nobody: products that someone else is
    writing are left out. Nobody waits for it longer than it takes to render `limit` of them.
    """
    ids = session.scalars(
        select(Product.id)
        .where(Product.id > after, _OUTDATED)
        .order_by(Product.id)  # not by shape: dead index entries would be read for each batch
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    render(session, ids)
    return ids


def columns(schema: Schema, source: str) -> str:
    """SQL for the schema's fields of `source`, in their JSON forms and under their JSON names."""
    return ", ".join(
        f'{_value(schema.fields[name], f"{source}.{column}")} AS "{name}"'
        for name, column in _stored(schema).items()
    )


def _stored(schema: Schema) -> dict[str, str]:
    """The column of each field: `metadata_` in Python is `metadata` in the table."""
    # The declarative base owns the plain name.
    return {name: (field.attribute or name).rstrip("_") for name, field in schema.fields.items()}


@singledispatch
def _value(field: fields.Field[Any], column: str) -> str:
    """The SQL that gives a column the JSON form that its schema field gives it in Python."""
    return column


@_value.register
def _money(field: Money, column: str) -> str:
    return f"{column}::text"


@_value.register
def _weight(field: Weight, column: str) -> str:
    return f"trim_scale({column})"


@_value.register
def _timestamp(field: Timestamp, column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@_value.register
def _list(field: fields.List, column: str) -> str:  # type: ignore[type-arg]  # dispatch needs a class
    """Lists of plain values are stored as JSON; variants are rows of their own."""
    source, _, name = column.rpartition(".")
    if name != "variants":
        return column
    return (
        "(SELECT coalesce(json_agg(row_to_json(i) ORDER BY i.id), '[]')"
        f" FROM (SELECT {columns(VariantSchema(), 'v')} FROM variants v"
        f" WHERE v.product_id = {source}.id) i)"
    )


DERIVED = ("document", "lowest_price", "search_title", "search_words")


def derived(source: str) -> str:
    """A subquery of one row: the columns `DERIVED` of the product in `source`, with its variants.

    Of a LATERAL join, or for `SET (columns) = (…)`.
    """
    lowest = f"SELECT min(v.price) FROM variants v WHERE v.product_id = {source}.id"
    return (
        f"SELECT {_document(source)} AS document, coalesce(({lowest}), 'Infinity') AS lowest_price,"
        f" search_title, search_words FROM ({search.columns(source)}) s"
    )


_DERIVED = derived("products")
# A signed 32-bit fingerprint of the rendering: a release re-renders the rows that carry another.
SHAPE = zlib.crc32(_DERIVED.encode()) - 2**31
_OUTDATED = or_(Product.document_shape < SHAPE, Product.document_shape > SHAPE)  # as indexed
_RENDER = text(
    f"UPDATE products SET ({', '.join(DERIVED)}) = ({_DERIVED}), document_shape = :shape"
    " WHERE id = ANY(:ids) RETURNING id, version, document, document_shape"
)

_COUNTED_UP = {"version": "version + 1", "updated_at": "clock_timestamp()"}
_AS_CHANGED = ", ".join(
    f"{_COUNTED_UP.get(column, column)} AS {column}"
    for column in _stored(ProductSchema(exclude=("variants",))).values()
)
# After a change by which nothing is sorted or searched, such as one of stock: counts the version of
# `%(products)s` up and renders their documents, in one write of each row, whose lock is held. What
# other code has derived stays, and so the row stays one that a release renders anew.
COUNT_UP = f"""
UPDATE products p SET version = m.version, updated_at = m.updated_at, document = {_document("m")},
    document_shape = CASE p.document_shape WHEN {SHAPE} THEN {SHAPE} ELSE 0 END
FROM (SELECT {_AS_CHANGED} FROM products WHERE id = ANY(%(products)s::bigint[])) m
WHERE p.id = m.id;
"""
