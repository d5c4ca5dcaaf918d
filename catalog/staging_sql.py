"""The statements of `catalog/staging.py`: from the staging tables to the catalogue, set by set.

An absent field is NULL in a staging table and keeps what is stored, unless `cleared` names it.
"""

from marshmallow import Schema

from catalog.documents import DERIVED, columns, derived
from schemas import MAX_IMAGES, MAX_OPTIONS, MAX_TAGS, ProductSchema, VariantFields

_VARIANT_FIELDS = tuple(VariantFields().fields)
_VARIANT_COLUMNS = ", ".join(_VARIANT_FIELDS)

# What triggers write of each product is off unless it is asked for: migration 0011.
NO_EVENTS = "SET LOCAL pushcart.events = 'off';"
CREATE_TABLES = """
SET LOCAL client_min_messages = warning;
CREATE TEMP TABLE IF NOT EXISTS staged_products (
    index int, handle text, name text, description text, status text, vendor text, category text,
    tags jsonb, metadata jsonb, options jsonb, images jsonb, cleared text[]
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staged_variants (
    place int, index int, line bigint, options jsonb, sku text, price numeric,
    compare_at_price numeric, barcode text, weight_grams numeric, stock bigint, backorder boolean,
    cleared text[]
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS merged_products ON COMMIT DELETE ROWS AS
    SELECT products.*, 0 AS index, false AS is_new, false AS is_changed FROM products WITH NO DATA
"""


def _kept(column: str, stored: str) -> str:
    """The staged value, or else the stored one unless that is cleared; `s` is the staged row."""
    return (
        f"CASE WHEN '{column}' = ANY(s.cleared) THEN s.{column}"
        f" ELSE coalesce(s.{column}, {stored}.{column}) END"
    )


# An object that is there on both sides is merged by its keys, whatever else by the file's word.
_METADATA = """CASE
    WHEN s.metadata IS NULL THEN coalesce(l.metadata, '{}')
    WHEN l.id IS NULL OR l.metadata = '{}' THEN s.metadata
    ELSE l.metadata || (
        SELECT coalesce(jsonb_object_agg(key, CASE
            WHEN jsonb_typeof(value) = 'object' AND jsonb_typeof(l.metadata -> key) = 'object'
            THEN (l.metadata -> key) || value ELSE value END), '{}')
        FROM jsonb_each(s.metadata)
    ) END"""


def _numbered(images: str) -> str:
    """Images with their addresses; one that is there twice is there a first and a second time."""
    return f"""SELECT image, n, image ->> 'url' AS url,
            row_number() OVER (PARTITION BY image ->> 'url' ORDER BY n) AS nth
        FROM jsonb_array_elements({images}) WITH ORDINALITY AS each (image, n)"""


# A known address takes the file's text, if it has one; new addresses follow.
_IMAGES = f"""CASE
    WHEN l.id IS NULL OR l.images = '[]' THEN s.images
    ELSE (
        SELECT coalesce(jsonb_agg(
            CASE WHEN new.image ->> 'alt' IS NULL THEN coalesce(old.image, new.image)
            ELSE new.image END ORDER BY old.n, new.n
        ), '[]')
        FROM ({_numbered("l.images")}) old FULL JOIN ({_numbered("s.images")}) new USING (url, nth)
    ) END"""
_NEXT_ID = "nextval(pg_get_serial_sequence('products', 'id'))"


def merge_products(*, planned: bool) -> str:
    """Each staged product with what is stored under its handle: the row as it will stand.

    Its version and time are those of a change. What the `mode` does not allow is left out, and so
    is what is new and has no name. `planned`: nothing is locked, and no id given.
    """
    # In one order for all, so that two imports cannot lock each other out.
    lock = "" if planned else "ORDER BY p.id FOR UPDATE OF p"
    return f"""
INSERT INTO merged_products (
    index, is_new, is_changed, id, handle, name, description, status, vendor, category, tags,
    metadata, options, images, version, created_at, updated_at
)
WITH living AS MATERIALIZED (
    SELECT p.* FROM products p
    WHERE p.handle = ANY(ARRAY(SELECT handle FROM staged_products)) AND p.deleted_at IS NULL
    {lock}
), merged AS (
    SELECT s.index, l.id, s.handle,
        coalesce(s.name, l.name) AS name,
        {_kept("description", "l")} AS description,
        coalesce({_kept("status", "l")}, 'active') AS status,
        {_kept("vendor", "l")} AS vendor,
        {_kept("category", "l")} AS category,
        coalesce({_kept("tags", "l")}, '[]') AS tags,
        CASE WHEN 'metadata' = ANY(s.cleared) THEN coalesce(s.metadata, '{{}}')
            ELSE {_METADATA} END AS metadata,
        CASE WHEN l.id IS NULL THEN s.options ELSE l.options || (
            SELECT coalesce(jsonb_agg(name ORDER BY n), '[]')
            FROM jsonb_array_elements(s.options) WITH ORDINALITY AS new (name, n)
            WHERE NOT l.options @> name
        ) END AS options,
        CASE WHEN 'images' = ANY(s.cleared) THEN s.images ELSE {_IMAGES} END AS images,
        l AS stored
    FROM staged_products s LEFT JOIN living l ON l.handle = s.handle
    WHERE coalesce(s.name, l.name) IS NOT NULL
        AND CASE %(mode)s WHEN 'create' THEN l.id IS NULL WHEN 'update' THEN l.id IS NOT NULL
            ELSE true END
)
SELECT index, id IS NULL,
    id IS NULL OR (name, description, status, vendor, category, tags, metadata, options, images)
        IS DISTINCT FROM ((stored).name, (stored).description, (stored).status, (stored).vendor,
            (stored).category, (stored).tags, (stored).metadata, (stored).options,
            (stored).images),
    {"id" if planned else f"coalesce(id, {_NEXT_ID})"}, handle, name, description,
    status, vendor, category, tags, metadata, options, images,
    coalesce((stored).version, 0) + 1, coalesce((stored).created_at, now()),
    CASE WHEN id IS NULL THEN now() ELSE clock_timestamp() END
FROM merged
ORDER BY index
"""


# What a product may hold; its variants are counted where its rows are read.
LIMITS = {"images": MAX_IMAGES, "tags": MAX_TAGS, "options": MAX_OPTIONS}
_EXCEEDED = {f"jsonb_array_length({name}) > {most}": name for name, most in LIMITS.items()}
REFUSE_TOO_MANY = f"""
DELETE FROM merged_products WHERE {" OR ".join(_EXCEEDED)}
RETURNING index, CASE {
    " ".join(f"WHEN {exceeds} THEN 'too_many_{name}'" for exceeds, name in _EXCEEDED.items())
} END
"""

# A row without options, for a product that has variants with options, names none of them. If it
# says nothing about a variant either (`bare`), it is about the product alone and is left out.
REFUSE_OPTIONLESS = f"""
DELETE FROM staged_variants s USING merged_products m
WHERE s.index = m.index AND NOT m.is_new AND s.options = '{{}}' AND EXISTS (
    SELECT FROM variants v WHERE v.product_id = m.id AND v.options <> '{{}}'
) AND NOT EXISTS (
    SELECT FROM variants v WHERE v.product_id = m.id AND v.options = '{{}}'
)
RETURNING s.line, num_nonnulls({", ".join(f"s.{name}" for name in _VARIANT_FIELDS)}) = 0
"""

# A file that tells of stock alone creates no variant.
REFUSE_NEW = """
DELETE FROM staged_variants s USING merged_products m
WHERE s.index = m.index AND s.index = ANY(%(only_existing)s) AND NOT EXISTS (
    SELECT FROM variants v
    WHERE v.product_id = m.id AND md5(v.options::text) = md5(s.options::text)
)
RETURNING s.line
"""

# Each staged variant as it will stand, with the stored one, if there is one.
_FOUND = f"""found AS MATERIALIZED (
    SELECT s.place, s.index, s.line, s.options, m.id AS product_id, v.id AS variant_id, v AS stored,
        {
    ", ".join(
        f"coalesce({_kept(name, 'v')}, false) AS {name}"
        if name == "backorder"
        else f"{_kept(name, 'v')} AS {name}"
        for name in _VARIANT_FIELDS
    )
}
    FROM staged_variants s JOIN merged_products m USING (index)
    LEFT JOIN LATERAL (
        SELECT v.* FROM variants v
        WHERE NOT m.is_new AND v.product_id = m.id
            AND md5(v.options::text) = md5(s.options::text)
        LIMIT 1
    ) v ON true
)"""
_DIFFERS = (
    f"(f.{', f.'.join(_VARIANT_FIELDS)}) IS DISTINCT FROM"
    f" ((f.stored).{', (f.stored).'.join(_VARIANT_FIELDS)})"
)

# The lock on the product covers its variants, so whatever is not found cannot appear meanwhile.
WRITE_VARIANTS = f"""
WITH {_FOUND}, added AS (
    INSERT INTO variants (product_id, options, {_VARIANT_COLUMNS})
    SELECT product_id, options, {_VARIANT_COLUMNS}
    FROM found WHERE variant_id IS NULL ORDER BY place
    RETURNING product_id
), changed AS (
    UPDATE variants v SET {", ".join(f"{name} = f.{name}" for name in _VARIANT_FIELDS)}
    FROM found f
    WHERE v.id = f.variant_id AND v.id = ANY(ARRAY(SELECT variant_id FROM found)) AND {_DIFFERS}
    RETURNING v.product_id
)
UPDATE merged_products m SET is_changed = true
FROM (SELECT product_id FROM added UNION SELECT product_id FROM changed) w
WHERE m.id = w.product_id AND NOT m.is_changed
"""

# A product's row is written once, with the document of its variants as they now stand.
WRITE_PRODUCTS = f"""
INSERT INTO products (
    id, handle, name, description, status, vendor, category, tags, metadata, options, images,
    version, created_at, updated_at, document_shape, {", ".join(DERIVED)}
)
SELECT id, handle, name, description, status, vendor, category, tags, metadata, options, images,
    version, created_at, updated_at, %(shape)s, {", ".join(f"d.{name}" for name in DERIVED)}
FROM merged_products m CROSS JOIN LATERAL ({derived("m")}) d WHERE is_changed ORDER BY index
ON CONFLICT (id) DO UPDATE SET
    name = EXCLUDED.name, description = EXCLUDED.description, status = EXCLUDED.status,
    vendor = EXCLUDED.vendor, category = EXCLUDED.category, tags = EXCLUDED.tags,
    metadata = EXCLUDED.metadata, options = EXCLUDED.options, images = EXCLUDED.images,
    version = EXCLUDED.version, updated_at = EXCLUDED.updated_at,
    document_shape = EXCLUDED.document_shape,
    {", ".join(f"{column} = EXCLUDED.{column}" for column in DERIVED)}
"""

# Whether a product is new, whether it changes, and for one left out whether there is one.
_OUTCOME = """SELECT s.index, m.is_new, {is_changed} AS is_changed,
    CASE WHEN m.index IS NULL THEN (
        SELECT true FROM products p WHERE p.handle = s.handle AND p.deleted_at IS NULL LIMIT 1
    ) END AS exists, {change} AS change
FROM staged_products s LEFT JOIN merged_products m USING (index)"""
OUTCOME = _OUTCOME.format(is_changed="m.is_changed", change="NULL")


def _changes(schema: Schema, old: str, new: str) -> str:
    """SQL for `{field: {"from", "to"}}` of the schema's fields that differ between two rows."""
    told = ", ".join(
        f"""CASE WHEN n."{name}" IS DISTINCT FROM o."{name}" THEN '"{name}": '
            || json_build_object('from', o."{name}", 'to', n."{name}")::text END"""
        for name in schema.fields
    )
    return f"""(
        SELECT concat('{{', concat_ws(', ', {told}), '}}')::json
        FROM (SELECT {columns(schema, old)}) o CROSS JOIN (SELECT {columns(schema, new)}) n
    )"""


_SHOWN = ("name", "description", "status", "vendor", "category", "tags", "options", "images")
_PRODUCT = ProductSchema(only=(*_SHOWN, "metadata"))
_PRODUCT_CHANGES = _changes(_PRODUCT, "p", "m")
_VARIANT_CHANGES = _changes(VariantFields(), "(f.stored)", "f")
_ACTION = "CASE WHEN {} THEN 'create' ELSE 'update' END"
_CHANGED = "(m.is_changed OR t.variants IS NOT NULL)"
_CHANGE = f"""CASE WHEN {_CHANGED} THEN json_build_object(
        'handle', s.handle, 'action', {_ACTION.format("m.is_new")}, 'changes', {_PRODUCT_CHANGES},
        'variants', coalesce(t.variants, '[]'))::text END"""

# What WRITE_VARIANTS and WRITE_PRODUCTS would do, in the JSON forms of the API.
PLAN = f"""
WITH {_FOUND}, told AS (
    SELECT f.index, json_agg(json_build_object(
        'options', f.options, 'action', {_ACTION.format("f.variant_id IS NULL")},
        'changes', {_VARIANT_CHANGES}) ORDER BY f.place) AS variants
    FROM found f WHERE f.variant_id IS NULL OR {_DIFFERS}
    GROUP BY f.index
)
{_OUTCOME.format(is_changed=_CHANGED, change=_CHANGE)}
LEFT JOIN told t USING (index)
LEFT JOIN LATERAL (
    SELECT * FROM products p WHERE NOT m.is_new AND p.id = m.id LIMIT 1
) p ON true
ORDER BY s.index
"""
