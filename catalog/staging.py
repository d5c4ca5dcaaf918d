"""Writes a chunk of catalogue rows to PostgreSQL as a set, whatever their number.

COPY brings them into staging tables; the statements of `catalog/staging_sql.py` take them from
there, or tell what they would do.

Staging tables are temporary, one set per connection, empty at the end of each transaction. An
absent field is NULL there and keeps what is stored. Nothing here deletes: a variant, an image or
an option that the file does not name stays.
"""

import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from json.encoder import encode_basestring
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog import known_by_sku, staging_sql
from catalog.documents import SHAPE
from catalog.formats.rows import ProductRows
from reads import is_lost

MODES = ("upsert", "create", "update")


@dataclass(slots=True)
class Staged:
    """What a chunk did, or would do. Products are told by their index in the chunk."""

    created: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)  # index: code
    optionless: list[int] = field(default_factory=list)  # lines that name none of many variants
    unknown: list[int] = field(default_factory=list)  # lines of variants that there are not
    changes: dict[int, str] = field(default_factory=dict)  # planned, as the text of a JSON object


def write(
    session: Session, products: Sequence[ProductRows], mode: str = "upsert", *, events: bool = False
) -> Staged:
    """Create and update these products in the caller's transaction; each handle may occur once.

    `mode`: create or update alone, one of MODES. `events`: whether the transaction writes events of
    products and stock, this and all that follows. Raises IntegrityError when someone else creates
    the same handle meanwhile: the caller starts the transaction anew, and then finds it.
    """
    if not events:
        session.connection().exec_driver_sql(staging_sql.NO_EVENTS)
    return _stage(session, products, mode, planned=False)


def plan(session: Session, products: Sequence[ProductRows], mode: str = "upsert") -> Staged:
    """Tell what `write` would do, with the changes of each product; nothing is written."""
    return _stage(session, products, mode, planned=True)


def _stage(
    session: Session, products: Sequence[ProductRows], mode: str, *, planned: bool
) -> Staged:
    result = Staged()
    staged: Mapping[int, ProductRows] = dict(enumerate(products))
    if any(product.found_by_sku for product in products):
        found = known_by_sku.resolve(session, products, lock=not planned)
        staged, result.refused = found.products, found.refused
    connection = session.connection()
    execute = connection.exec_driver_sql
    execute(staging_sql.CREATE_TABLES)
    _copy(connection, "staged_products", map(_product_row, staged.keys(), staged.values()))
    _copy(connection, "staged_variants", _variant_rows(staged))
    execute(staging_sql.merge_products(planned=planned), {"mode": mode})
    for index, code in execute(staging_sql.REFUSE_TOO_MANY):
        result.refused[index] = code
    refused = execute(staging_sql.REFUSE_OPTIONLESS)
    result.optionless = [line for line, bare in refused if not bare]
    if only := [index for index, product in staged.items() if product.only_existing]:
        lines = {row.line: row.lines for index in only for row in staged[index].variants}
        unknown = execute(staging_sql.REFUSE_NEW, {"only_existing": only})
        result.unknown = sorted(line for row in unknown for line in lines[row.line])
    if not planned:
        execute(staging_sql.WRITE_VARIANTS)
        execute(staging_sql.WRITE_PRODUCTS, {"shape": SHAPE})
    outcome = execute(staging_sql.PLAN if planned else staging_sql.OUTCOME)
    for index, is_new, is_changed, is_there, changes in outcome:
        if is_new is None:
            result.refused.setdefault(index, _reason(mode, is_there=is_there))
        elif is_new:
            result.created.append(index)
        elif is_changed:
            result.updated.append(index)
        else:
            result.unchanged.append(index)
        if changes is not None:
            result.changes[index] = changes
    return result


def _reason(mode: str, *, is_there: bool | None) -> str:
    if mode == "update":
        return "product_not_found"
    return "exists" if is_there else "required"  # a name, for a product that is new


def _copy(connection: Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows in PostgreSQL's text format, in which None is NULL."""
    buffer = io.StringIO("".join(map(_line, rows)))
    cursor: Any = connection.connection.cursor()  # psycopg2's own: SQLAlchemy has no COPY
    try:
        cursor.copy_expert(f"COPY {table} FROM STDIN", buffer, 1 << 20)
    except psycopg2.Error as error:
        if not is_lost(cursor.connection, error):
            raise
        # SQLAlchemy has not seen the connection die, and must not try to roll back on it.
        connection.invalidate(error)
        raise OperationalError("COPY", None, error, connection_invalidated=True) from None


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _line(row: Sequence[Any]) -> str:
    return "\t".join([_cell(value) for value in row]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return r"\N"
    text = str(value)
    # Looking is far cheaper than translating, and there is seldom anything to escape.
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def _product_row(index: int, product: ProductRows) -> Sequence[Any]:
    fields = product.fields.get
    return (
        index,
        product.handle,
        fields("name"),
        fields("description"),
        fields("status"),
        fields("vendor"),
        fields("category"),
        _texts(fields("tags")),
        _json(fields("metadata")),
        _texts(product.options),
        _json(product.images) if product.images else "[]",
        _names(product.cleared),
    )


def _variant_rows(products: Mapping[int, ProductRows]) -> Iterable[Sequence[Any]]:
    place = count()  # a line of JSON holds many variants
    for index, product in products.items():
        for variant in product.variants:
            fields = variant.fields.get
            yield (
                next(place),
                index,
                variant.line,
                _options(tuple(variant.options.items())),
                fields("sku"),
                fields("price"),
                fields("compare_at_price"),
                fields("barcode"),
                fields("weight_grams"),
                fields("stock"),
                fields("backorder"),
                _names(variant.cleared),
            )


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one for each call


def _json(value: Any) -> str | None:
    return None if value is None else _encode(value)


def _texts(values: list[str] | None) -> str | None:
    """A JSON array of texts, four times as fast as by an encoder made for everything."""
    return None if values is None else f"[{','.join(map(encode_basestring, values))}]"


def _names(fields: Collection[str]) -> str | None:
    """An array of our own words, in PostgreSQL's form."""
    return f"{{{','.join(fields)}}}" if fields else None


@lru_cache(maxsize=4096)  # sizes and colours repeat
def _options(items: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(items))
