"""Writes a chunk of catalogue rows to PostgreSQL as a set, whatever their number.

COPY brings them into staging tables; four statements take them from there.

Staging tables are temporary, one set per connection, empty at the end of each transaction. An
absent field is NULL there and keeps what is stored. Nothing here deletes: a variant, an image or
an option that the file does not name stays.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog.documents import SHAPE, derived
from catalog.formats.rows import ProductRows


@dataclass(slots=True)
class Written:
    """What a chunk did, in products; `nameless` and `optionless` could not be written."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    nameless: list[int] = field(default_factory=list)  # indexes of new products without a name
    optionless: list[int] = field(default_factory=list)  # lines that name none of many variants


def write(session: Session, products: Sequence[ProductRows]) -> Written:
    """Create and update these products in the caller's transaction; each handle may occur once.

    Raises IntegrityError when someone else creates the same handle meanwhile: the caller starts
    the transaction anew, and then finds it.
    """
    connection = session.connection()
    execute = connection.exec_driver_sql
    execute(_CREATE_TABLES)
    _copy(connection, "staged_products", map(_product_row, range(len(products)), products))
    _copy(connection, "staged_variants", _variant_rows(products))
    execute(_MERGE_PRODUCTS)
    result = Written(optionless=[line for line, bare in execute(_REFUSE_OPTIONLESS) if not bare])
    execute(_WRITE_VARIANTS)
    execute(_WRITE_PRODUCTS, {"shape": SHAPE})
    for index, is_new, is_changed in execute(_OUTCOME):
        if is_new is None:
            result.nameless.append(index)
        elif is_new:
            result.created += 1
        elif is_changed:
            result.updated += 1
        else:
            result.unchanged += 1
    return result


def _copy(connection: Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows in PostgreSQL's text format, in which None is NULL."""
    buffer = io.StringIO("".join(map(_line, rows)))
    cursor: Any = connection.connection.cursor()  # psycopg2's own: SQLAlchemy has no COPY
    try:
        cursor.copy_expert(f"COPY {table} FROM STDIN", buffer, 1 << 20)
    except psycopg2.OperationalError as error:
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
    )


def _variant_rows(products: Sequence[ProductRows]) -> Iterable[Sequence[Any]]:
    for index, product in enumerate(products):
        for variant in product.variants:
            fields = variant.fields.get
            yield (
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
            )


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make one for each call


def _json(value: Any) -> str | None:
    return None if value is None else _encode(value)


def _texts(values: list[str] | None) -> str | None:
    """A JSON array of texts, four times as fast as by an encoder made for everything."""
    return None if values is None else f"[{','.join(map(encode_basestring, values))}]"


@lru_cache(maxsize=4096)  # sizes and colours repeat
def _options(items: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(items))


_CREATE_TABLES = """
SET LOCAL client_min_messages = warning;
CREATE TEMP TABLE IF NOT EXISTS staged_products (
    index int, handle text, name text, description text, status text, vendor text, category text,
    tags jsonb, metadata jsonb, options jsonb, images jsonb
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staged_variants (
    index int, line bigint, options jsonb, sku text, price numeric, compare_at_price numeric,
    barcode text, weight_grams numeric, stock bigint, backorder boolean
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS merged_products ON COMMIT DELETE ROWS AS
    SELECT products.*, 0 AS index, false AS is_new, false AS is_changed FROM products WITH NO DATA
"""

# Each staged product with what is stored under its handle: the row as it will stand if anything
# about it changes. Its version and time are written only then.
_MERGE_PRODUCTS = """
INSERT INTO merged_products (
    index, is_new, is_changed, id, handle, name, description, status, vendor, category, tags,
    metadata, options, images, version, created_at, updated_at
)
WITH living AS MATERIALIZED (
    SELECT p.* FROM products p
    WHERE p.handle = ANY(ARRAY(SELECT handle FROM staged_products)) AND p.deleted_at IS NULL
    ORDER BY p.id  -- one order for all, so that two imports cannot lock each other out
    FOR UPDATE OF p
), merged AS (
    SELECT s.index, l.id, s.handle,
        coalesce(s.name, l.name) AS name,
        coalesce(s.description, l.description) AS description,
        coalesce(s.status, l.status, 'active') AS status,
        coalesce(s.vendor, l.vendor) AS vendor,
        coalesce(s.category, l.category) AS category,
        coalesce(s.tags, l.tags, '[]') AS tags,
        coalesce(l.metadata || s.metadata, s.metadata, l.metadata, '{}') AS metadata,
        CASE WHEN l.id IS NULL THEN s.options ELSE l.options || (
            SELECT coalesce(jsonb_agg(name ORDER BY n), '[]')
            FROM jsonb_array_elements(s.options) WITH ORDINALITY AS new (name, n)
            WHERE NOT l.options @> name
        ) END AS options,
        -- A known address takes the file's text, if it has one; new addresses follow.
        CASE WHEN l.id IS NULL OR l.images = '[]' THEN s.images ELSE (
            SELECT coalesce(jsonb_agg(
                CASE WHEN new.image ->> 'alt' IS NULL THEN coalesce(old.image, new.image)
                ELSE new.image END ORDER BY old.n, new.n
            ), '[]')
            FROM jsonb_array_elements(l.images) WITH ORDINALITY AS old (image, n)
            FULL JOIN jsonb_array_elements(s.images) WITH ORDINALITY AS new (image, n)
            ON old.image ->> 'url' = new.image ->> 'url'
        ) END AS images,
        l AS stored
    FROM staged_products s LEFT JOIN living l ON l.handle = s.handle
    WHERE coalesce(s.name, l.name) IS NOT NULL
)
SELECT index, id IS NULL,
    id IS NULL OR (name, description, status, vendor, category, tags, metadata, options, images)
        IS DISTINCT FROM ((stored).name, (stored).description, (stored).status, (stored).vendor,
            (stored).category, (stored).tags, (stored).metadata, (stored).options,
            (stored).images),
    coalesce(id, nextval(pg_get_serial_sequence('products', 'id'))), handle, name, description,
    status, vendor, category, tags, metadata, options, images,
    coalesce((stored).version, 0) + 1, coalesce((stored).created_at, now()),
    CASE WHEN id IS NULL THEN now() ELSE clock_timestamp() END
FROM merged
ORDER BY index
"""

# A row without options, for a product that has variants with options, names none of them. If it
# says nothing about a variant either (`bare`), it is about the product alone and is left out.
_REFUSE_OPTIONLESS = """
DELETE FROM staged_variants s USING merged_products m
WHERE s.index = m.index AND NOT m.is_new AND s.options = '{}' AND EXISTS (
    SELECT FROM variants v WHERE v.product_id = m.id AND v.options <> '{}'
) AND NOT EXISTS (
    SELECT FROM variants v WHERE v.product_id = m.id AND v.options = '{}'
)
RETURNING s.line, num_nonnulls(
    s.sku, s.price, s.compare_at_price, s.barcode, s.weight_grams, s.stock, s.backorder) = 0
"""

# The lock on the product covers its variants, so whatever is not found cannot appear meanwhile.
_WRITE_VARIANTS = """
WITH found AS MATERIALIZED (
    SELECT s.*, m.id AS product_id, v.id AS variant_id
    FROM staged_variants s JOIN merged_products m USING (index)
    LEFT JOIN LATERAL (
        SELECT id FROM variants v
        WHERE NOT m.is_new AND v.product_id = m.id
            AND md5(v.options::text) = md5(s.options::text)
        LIMIT 1
    ) v ON true
), added AS (
    INSERT INTO variants (product_id, options, sku, price, compare_at_price, barcode,
        weight_grams, stock, backorder)
    SELECT product_id, options, sku, price, compare_at_price, barcode, weight_grams, stock,
        coalesce(backorder, false)
    FROM found WHERE variant_id IS NULL ORDER BY line
    RETURNING product_id
), changed AS (
    UPDATE variants v SET
        sku = coalesce(f.sku, v.sku), price = coalesce(f.price, v.price),
        compare_at_price = coalesce(f.compare_at_price, v.compare_at_price),
        barcode = coalesce(f.barcode, v.barcode),
        weight_grams = coalesce(f.weight_grams, v.weight_grams),
        stock = coalesce(f.stock, v.stock), backorder = coalesce(f.backorder, v.backorder)
    FROM found f
    WHERE v.id = f.variant_id AND v.id = ANY(ARRAY(SELECT variant_id FROM found))
        AND (v.sku, v.price, v.compare_at_price, v.barcode, v.weight_grams, v.stock, v.backorder)
        IS DISTINCT FROM (coalesce(f.sku, v.sku), coalesce(f.price, v.price),
            coalesce(f.compare_at_price, v.compare_at_price), coalesce(f.barcode, v.barcode),
            coalesce(f.weight_grams, v.weight_grams), coalesce(f.stock, v.stock),
            coalesce(f.backorder, v.backorder))
    RETURNING v.product_id
)
UPDATE merged_products m SET is_changed = true
FROM (SELECT product_id FROM added UNION SELECT product_id FROM changed) w
WHERE m.id = w.product_id AND NOT m.is_changed
"""

# A product's row is written once, with the document of its variants as they now stand.
_DERIVED = derived("m")
_WRITE_PRODUCTS = f"""
INSERT INTO products (
    id, handle, name, description, status, vendor, category, tags, metadata, options, images,
    version, created_at, updated_at, document_shape, {", ".join(_DERIVED)}
)
SELECT id, handle, name, description, status, vendor, category, tags, metadata, options, images,
    version, created_at, updated_at, %(shape)s, {", ".join(_DERIVED.values())}
FROM merged_products m WHERE is_changed ORDER BY index
ON CONFLICT (id) DO UPDATE SET
    name = EXCLUDED.name, description = EXCLUDED.description, status = EXCLUDED.status,
    vendor = EXCLUDED.vendor, category = EXCLUDED.category, tags = EXCLUDED.tags,
    metadata = EXCLUDED.metadata, options = EXCLUDED.options, images = EXCLUDED.images,
    version = EXCLUDED.version, updated_at = EXCLUDED.updated_at,
    document_shape = EXCLUDED.document_shape,
    {", ".join(f"{column} = EXCLUDED.{column}" for column in _DERIVED)}
"""

_OUTCOME = """
SELECT s.index, m.is_new, m.is_changed
FROM staged_products s LEFT JOIN merged_products m USING (index)
"""
