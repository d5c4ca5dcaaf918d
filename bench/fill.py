"""Fills the tables with products of three variants each, by set-based statements.

The same products each time, with ids from 1 on without a gap. Documents, and whatever else is
derived from a product, are the project's own rendering.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session

from bench.catalogue import CATEGORIES, TAGS, VENDORS, WORDS
from catalog import documents
from config import settings

VARIANTS = 3  # per product
_INSERTED_TOGETHER = 50_000
_RENDERED_TOGETHER = 5_000

_VOCABULARY_SIZE = 20_000
_PHRASES = 50_000
_WORDS_IN_PHRASE = 10  # four phrases make a description
_NAME_WORDS = 100_000  # two to four make a name


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words from the most to the least frequent, and how often each is taken: Zipf's law."""

    words: tuple[str, ...]
    weights: tuple[float, ...]  # cumulative, as random.choices wants them

    def draw(self, random: Random, number: int, rarer_than: int = 0) -> list[str]:
        """Draw words, some of which repeat; the `rarer_than` most frequent are left out."""
        left_out = self.weights[rarer_than - 1] if rarer_than else 0.0
        weights = [weight - left_out for weight in self.weights[rarer_than:]]
        return random.choices(self.words[rarer_than:], cum_weights=weights, k=number)


def vocabulary() -> Vocabulary:
    """A shop's language: its stop words in front, then words that are made of syllables."""
    random = Random("pushcart")  # noqa: S311  # the same words each time
    syllable = (
        ("b", "br", "c", "ch", "d", "f", "fl", "g", "h", "k", "l", "m", "p", "r", "s", "st", "t"),
        ("a", "e", "i", "o", "u", "ea", "ou", "ai"),
        ("", "", "", "", "n", "r", "l", "s", "m", "t", "ck", "nd", "st"),
    )
    words = dict.fromkeys(word for word in WORDS if word.isalpha())
    while len(words) < _VOCABULARY_SIZE:
        syllables = random.choices((1, 2, 3), (2, 6, 1))[0]
        parts = (random.choice(part) for _ in range(syllables) for part in syllable)
        words["".join(parts)] = None
    # The 5 keeps "the" at one word in fifty, as in a real text of this kind.
    weights = accumulate(1 / (rank + 5) for rank in range(len(words)))
    return Vocabulary(tuple(words), tuple(weights))


def grow_to(products: int) -> None:
    """Add products until there are `products`; leave the tables as autovacuum would in the end."""
    engine = create_engine(settings.database_url)
    with engine.connect() as connection:
        start = int(connection.execute(text("SELECT count(*) FROM products")).scalar_one())
        _prepare(connection)
        with _without_extra_indexes(connection):
            for first in range(start + 1, products + 1, _INSERTED_TOGETHER):
                last = min(first + _INSERTED_TOGETHER - 1, products)
                _add(connection, first, last)
                connection.commit()
                print(f"  {last:,} products", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def _prepare(connection: Connection) -> None:
    """Put the words where the statements below find them."""
    random = Random("pushcart")  # noqa: S311  # the same texts each time
    known = vocabulary()
    connection.execute(text("SET synchronous_commit = off"))
    connection.execute(text("SET pushcart.events = 'off'"))  # as in an import
    connection.execute(text(_PICK))
    text_words = iter(known.draw(random, _PHRASES * _WORDS_IN_PHRASE))
    phrases = [" ".join(phrase) for phrase in zip(*[text_words] * _WORDS_IN_PHRASE, strict=True)]
    words = [word.capitalize() for word in known.draw(random, _NAME_WORDS, rarer_than=60)]
    for name, values in (("phrases", phrases), ("words", words)):
        connection.execute(
            text(
                f"CREATE TEMPORARY TABLE {name} AS SELECT n - 1 AS n, value"
                " FROM unnest(CAST(:values AS text[])) WITH ORDINALITY AS list (value, n)"
            ),
            {"values": values},
        )
        connection.execute(text(f"ANALYZE {name}"))
    connection.commit()


@contextmanager
def _without_extra_indexes(connection: Connection) -> Iterator[None]:
    """Drop the indexes that keep nothing unique, and make them anew at the end: much faster."""
    found = connection.execute(text(_EXTRA_INDEXES)).all()
    for name, _ in found:
        connection.execute(text(f'DROP INDEX "{name}"'))
    yield
    connection.execute(text("SET maintenance_work_mem = '512MB'"))
    for _, definition in found:
        connection.exec_driver_sql(definition)
    connection.commit()


def _add(connection: Connection, first: int, last: int) -> None:
    """Insert products with these ids and their variants, and render them."""
    ids = {"first": first, "last": last}
    lists = {"vendors": list(VENDORS), "categories": list(CATEGORIES), "tags": list(TAGS)}
    connection.execute(text(_PRODUCTS), ids | lists)
    connection.execute(text(_VARIANTS), ids | {"variants": VARIANTS})
    for table in ("products", "variants"):
        connection.execute(
            text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        )
    with Session(connection) as session:
        for start in range(first, last + 1, _RENDERED_TOGETHER):
            documents.render(session, range(start, min(start + _RENDERED_TOGETHER, last + 1)))
        session.commit()


_EXTRA_INDEXES = """
SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid IN ('products'::regclass, 'variants'::regclass) AND NOT indisunique
"""

# A number below `size` that looks random, and is the same for an id and a purpose each time.
_PICK = """
CREATE FUNCTION pg_temp.pick(id bigint, purpose integer, size integer) RETURNS integer
IMMUTABLE LANGUAGE sql
RETURN ((hashint8extended(id, purpose) & 9223372036854775807) % size)::integer
"""

_PRODUCTS = f"""
WITH named AS (
    SELECT id, concat_ws(
        ' ', one.value, two.value,
        CASE WHEN pg_temp.pick(id, 5, 10) < 7 THEN three.value END,
        CASE WHEN pg_temp.pick(id, 5, 10) < 2 THEN four.value END
    ) AS name
    FROM generate_series(CAST(:first AS bigint), :last) AS id
    JOIN words one ON one.n = pg_temp.pick(id, 1, {_NAME_WORDS})
    JOIN words two ON two.n = pg_temp.pick(id, 2, {_NAME_WORDS})
    JOIN words three ON three.n = pg_temp.pick(id, 3, {_NAME_WORDS})
    JOIN words four ON four.n = pg_temp.pick(id, 4, {_NAME_WORDS})
), placed AS (
    SELECT *, replace(lower(name), ' ', '-') || '-' || id AS handle FROM named
)
INSERT INTO products (
    id, handle, name, description, status, vendor, category, tags, options, images, metadata,
    created_at, updated_at
)
SELECT
    id, handle, name,
    format('<p>%s %s.</p><p>%s %s.</p>', one.value, two.value, three.value, four.value),
    coalesce((ARRAY['draft', 'archived']) [1 + pg_temp.pick(id, 10, 20)], 'active'),
    (CAST(:vendors AS text[])) [1 + pg_temp.pick(id, 11, {len(VENDORS)})],
    (CAST(:categories AS text[])) [1 + pg_temp.pick(id, 12, {len(CATEGORIES)})],
    jsonb_build_array(
        (CAST(:tags AS text[])) [1 + pg_temp.pick(id, 13, 20)],
        (CAST(:tags AS text[])) [21 + pg_temp.pick(id, 14, 20)],
        (CAST(:tags AS text[])) [41 + pg_temp.pick(id, 15, 20)]
    ),
    '["Size"]',
    jsonb_build_array(
        jsonb_build_object('alt', name, 'url', format('https://example.com/%s-1.jpg', handle)),
        jsonb_build_object('alt', null, 'url', format('https://example.com/%s-2.jpg', handle))
    ),
    jsonb_build_object('season', 'season ' || pg_temp.pick(id, 16, 8)),
    -- Never a whole second: the peers write those without a fraction.
    '2026-01-01T00:00:00.123457Z'::timestamptz + id * interval '7 seconds',
    '2026-06-01T00:00:00.123457Z'::timestamptz + pg_temp.pick(id, 17, 9999999) * interval '1 second'
FROM placed
JOIN phrases one ON one.n = pg_temp.pick(id, 6, {_PHRASES})
JOIN phrases two ON two.n = pg_temp.pick(id, 7, {_PHRASES})
JOIN phrases three ON three.n = pg_temp.pick(id, 8, {_PHRASES})
JOIN phrases four ON four.n = pg_temp.pick(id, 9, {_PHRASES})
ORDER BY id
"""

_VARIANTS = """
INSERT INTO variants (
    id, product_id, sku, options, price, compare_at_price, barcode, weight_grams, stock, backorder
)
SELECT
    id, product_id, format('%s-%s-%s', upper(left(handle, 3)), product_id, number),
    jsonb_build_object('Size', (ARRAY['S', 'M', 'L'])[number]),
    price, CASE WHEN pg_temp.pick(product_id, 21, 5) = 0 THEN price + 10 END,
    (2000000000000 + id)::text, 5 + pg_temp.pick(id, 22, 9990) * 0.5,
    pg_temp.pick(id, 23, 500) - 3, pg_temp.pick(id, 24, 4) = 0
FROM (
    SELECT
        (products.id - 1) * :variants + number AS id, products.id AS product_id, handle, number,
        ((pg_temp.pick(products.id, 20, 24500) + number * 500) / 100.0)::numeric(12, 2) AS price
    FROM products, generate_series(1, :variants) AS number
    WHERE products.id BETWEEN :first AND :last
) made
ORDER BY id
"""
