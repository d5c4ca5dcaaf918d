"""The database's own work: rows that are parsed already, by COPY and one upsert per table.

The reference that the whole path is held against. It has the same tables, indexes, constraints
and documents, and one commit per chunk; it reads no file, refuses nothing, keeps no job, and
overwrites whatever is stored.
"""

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class, whatever its name

from catalog.documents import DERIVED, SHAPE, derived
from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Options, ProductRows, groups
from catalog.imports import CHUNK_ROWS
from models import db

PRODUCT = ("name", "description", "status", "vendor", "category")
VARIANT = ("sku", "price", "compare_at_price", "barcode", "weight_grams", "stock", "backorder")

Record = tuple[Any, ...]


@dataclass(slots=True)
class Chunk:
    """Products and variants as plain tuples, in the order of the staging tables' columns."""

    products: list[Record] = field(default_factory=list)
    variants: list[Record] = field(default_factory=list)

    def add(self, product: ProductRows) -> None:
        """Take in a product with its variants, which refer to it by its number in the chunk."""
        number = len(self.products)
        self.products.append(
            (
                number,
                product.handle,
                *map(product.fields.get, PRODUCT),
                *(_json(value) for value in (product.fields.get("tags", []), product.options)),
                _json(product.images),
            )
        )
        self.variants += [
            (number, variant.line, _json(variant.options), *map(variant.fields.get, VARIANT))
            for variant in product.variants
        ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def parsed(file: Path) -> list[Chunk]:
    """The whole file in memory, in chunks of as many rows as an import's."""
    chunks = [Chunk()]
    for product in _products(file):
        if len(chunks[-1].variants) + len(product.variants) > CHUNK_ROWS:
            chunks.append(Chunk())
        chunks[-1].add(product)
    return chunks


def _products(file: Path) -> Iterator[ProductRows]:
    reader = open_catalogue(lambda: file.open("rb", buffering=0), Options())
    for group in groups(reader.keyed(), {}):
        product, refusals = reader.read(group)
        if product is None or refusals:
            raise ValueError(f"the bench's own file has wrong rows: {refusals}")
        yield product


def run(chunks: Sequence[Chunk]) -> float:
    """Write the chunks; returns how many seconds that took."""
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_CREATE_TABLES)
        connection.commit()
        start = time.perf_counter()
        for chunk in chunks:
            _write(cursor, chunk)
            connection.commit()
        return time.perf_counter() - start


def _write(cursor: Cursor, chunk: Chunk) -> None:
    _copy(cursor, "given_products", chunk.products)
    _copy(cursor, "given_variants", chunk.variants)
    cursor.execute(_IDENTIFY)
    cursor.execute(_UPSERT_VARIANTS)
    cursor.execute(_UPSERT_PRODUCTS, {"shape": SHAPE})


def _copy(cursor: Cursor, table: str, records: Iterable[Record]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(records)
    buffer.seek(0)
    cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv)", buffer)


_CREATE_TABLES = """
CREATE TEMP TABLE given_products (
    number int, handle text, name text, description text, status text, vendor text, category text,
    tags jsonb, options jsonb, images jsonb
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE given_variants (
    number int, line int, options jsonb, sku text, price numeric, compare_at_price numeric,
    barcode text, weight_grams numeric, stock bigint, backorder boolean
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE identified (number int, id bigint) ON COMMIT DELETE ROWS
"""

# Ids are settled first, and variants written before their products (the foreign key is deferred),
# so that a product's row is written once, with its document: measured faster than an UPDATE after.
_IDENTIFY = """
WITH living AS MATERIALIZED (  -- by an array: a join would read the whole index of products
    SELECT id, handle FROM products
    WHERE handle = ANY (ARRAY(SELECT handle FROM given_products)) AND deleted_at IS NULL
)
INSERT INTO identified
SELECT number, coalesce(id, nextval(pg_get_serial_sequence('products', 'id')))
FROM given_products LEFT JOIN living USING (handle) ORDER BY number
"""

_UPSERT_VARIANTS = f"""
INSERT INTO variants (product_id, options, {", ".join(VARIANT)})
SELECT id, options, {", ".join(VARIANT)}
FROM given_variants JOIN identified USING (number) ORDER BY line
ON CONFLICT (product_id, md5(options::text)) DO UPDATE SET
    {", ".join(f"{name} = EXCLUDED.{name}" for name in VARIANT)}
"""

_WRITTEN = (*PRODUCT, "tags", "options", "images")
_UPDATED = (*_WRITTEN, *DERIVED, "document_shape")
_UPSERT_PRODUCTS = f"""
INSERT INTO products (id, handle, {", ".join((*_WRITTEN, *DERIVED))}, document_shape)
SELECT id, handle, {", ".join((*_WRITTEN, *DERIVED))}, %(shape)s
FROM (
    SELECT *, '{{}}'::jsonb AS metadata, 1 AS version, now() AS created_at, now() AS updated_at
    FROM given_products JOIN identified USING (number)
) g CROSS JOIN LATERAL ({derived("g")}) d ORDER BY number
ON CONFLICT (id) DO UPDATE SET
    {", ".join(f"{name} = EXCLUDED.{name}" for name in _UPDATED)},
    version = products.version + 1, updated_at = EXCLUDED.updated_at
"""
