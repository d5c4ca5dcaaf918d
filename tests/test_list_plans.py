"""What lists and searches cost in a shop of 100,000 products: plans, depth, round trips.

No time is measured: each list has to go through an index, however deep its page lies.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api import pages
from catalog import listing
from catalog.filters import FILTERS
from catalog.listing import SORTS, Selection
from models import PRODUCT_STATUSES, db
from reads import fetch
from tests.paging import URL
from tests.stage import ADMIN
from tests.statements import Statement, statements

PRODUCTS = 100_000
VISITOR = ("active",)
# A thousand kinds of products, a hundred of each; of forty, one is a kettle. The columns that
# follow from a product are filled in a simpler form, once for each kind: only their type matters.
FILL = f"""
WITH words AS (
    SELECT n, substr(letters, 1, 6) || CASE n % 40
        WHEN 0 THEN ' kettle' ELSE ' ' || substr(letters, 7, 6) END AS name
    FROM generate_series(1, 1000) n, translate(md5(n::text), '0123456789', 'ghijklmnop') letters
), kinds AS MATERIALIZED (
    SELECT n AS kind, name, 'Vendor ' || n % 200 AS vendor,
        format('Area %s > Kind %s', n % 10, n % 50) AS category,
        jsonb_build_array('tag ' || n % 100, 'tag ' || 100 + n % 10) AS tags,
        to_tsvector('simple', name) AS title,
        CASE n % 20 WHEN 1 THEN 'draft' WHEN 2 THEN 'archived' ELSE 'active' END AS status
    FROM words
), made AS (
    INSERT INTO products (
        handle, name, vendor, category, tags, status, created_at, updated_at, lowest_price,
        search_title, search_words, document
    )
    SELECT 'p-' || n, name, vendor, category, tags, status,
        timestamptz '2026-01-01Z' + n * interval '1 minute',
        timestamptz '2026-06-01Z' - n * interval '1 minute', n % 5000,
        title, setweight(title, 'A'), '{{}}'
    FROM generate_series(1, {PRODUCTS}) n JOIN kinds ON kind = 1 + n % 1000
    RETURNING id, lowest_price
)
INSERT INTO variants (product_id, sku, price, stock)
SELECT id, 'SKU-' || id, lowest_price, id % 500 - 5 FROM made
"""  # noqa: S608  # of our own words
WORDS = """
INSERT INTO vocabulary SELECT word FROM ts_stat('SELECT search_words FROM products')
WHERE word !~ '[0-9]'
"""
EXTRA_INDEXES = """
SELECT relname, pg_get_indexdef(indexrelid) AS definition FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid IN ('products'::regclass, 'variants'::regclass) AND NOT indisunique
"""


@pytest.fixture(scope="module", autouse=True)
def shop(migrated: Flask) -> Iterator[None]:
    """The products, with a variant each."""
    with migrated.app_context():
        db.engine.dispose()  # so that there is one connection, and it keeps what it has prepared
        empty = text("TRUNCATE products, variants RESTART IDENTITY CASCADE")
        db.session.execute(empty)
        db.session.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers
        indexes = db.session.execute(text(EXTRA_INDEXES)).all()
        for index in indexes:  # many rows at once are indexed much faster afterwards
            db.session.execute(text(f"DROP INDEX {index.relname}"))
        db.session.execute(text(FILL))
        for index in indexes:
            db.session.execute(text(index.definition))
        db.session.execute(text(WORDS))
        db.session.execute(text("ANALYZE products, variants, vocabulary"))
        db.session.commit()
        yield
        db.session.execute(empty)
        db.session.commit()


TABLE_SCAN = re.compile(r"Seq Scan on (products|variants)")
READERS = pytest.mark.parametrize("statuses", [VISITOR, PRODUCT_STATUSES], ids=["visitor", "key"])


def plans(chosen: Selection) -> str:
    """The plans of the statements that read a first page which turns out to be empty."""
    found: list[str] = []

    def explain(sql: str, params: Mapping[str, Any], **_: Any) -> list[Any]:
        found.extend(row[0] for row in fetch(f"EXPLAIN {sql}", params))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "fetch", explain)
        listing.page(chosen, 26)
    return "\n".join(found)


def key_of(chosen: Selection, number: int) -> Any:
    """The key of the product with this number in the list, from 1 on."""

    def only_last(sql: str, params: Mapping[str, Any], *, raw: bool, **_: Any) -> Any:
        last = f"SELECT * FROM ({sql}) page OFFSET {number - 1}"  # noqa: S608  # of our own words
        return fetch(last, params, raw=raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "fetch", only_last)
        return listing.key(listing.page(chosen, number)[0])


# --- filters and sorts ------------------------------------------------------------------------

# Two values for each field: by greater and less, one lets few pass and the other most.
VALUES: dict[str, tuple[Any, Any]] = {
    "id": (500, 99_500),
    "status": ("draft", "active"),
    "vendor": ("Vendor 7", "Vendor 8"),
    "category": ("Area 3", "Area 4 > Kind 14"),
    "tag": ("tag 7", "tag 105"),
    "handle": ("p-7", "p-8"),
    "sku": ("SKU-7", "SKU-8"),
    "price": (Decimal(20), Decimal(4980)),
    "stock": (-3, 490),
    "created_at": (datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)),
    "updated_at": (datetime(2026, 3, 24, tzinfo=UTC), datetime(2026, 5, 31, 20, tzinfo=UTC)),
}


@READERS
@pytest.mark.parametrize("parameter", FILTERS)
def test_no_filter_reads_a_whole_table_in_any_order(
    parameter: str, statuses: tuple[str, ...]
) -> None:
    values = VALUES[parameter.partition("[")[0]]

    for value in [list(values)] if FILTERS[parameter].operator == "in" else values:
        for sort in (None, *SORTS):
            plan = plans(Selection(statuses, {parameter: value}, None, sort))

            assert not TABLE_SCAN.search(plan), f"{value} by {sort}\n{plan}"


@READERS
def test_no_list_without_filters_sorts_or_reads_a_whole_table(statuses: tuple[str, ...]) -> None:
    for sort in (None, *SORTS):
        plan = plans(Selection(statuses, sort=sort))

        assert not re.search(r"Seq Scan|Sort|Bitmap", plan), f"{sort}\n{plan}"


QUERIES = (
    "kettle", "kett", "blue kettle", "kettel", "ketle ketel", "ketle k", "SKU-7", "sku-77777",
    "P-500", "zzzzz", "a b c", "!", "100%",
)  # fmt: skip


@READERS
@pytest.mark.parametrize("q", QUERIES)
def test_no_search_reads_a_whole_table_be_it_forgiving_or_not(
    q: str, statuses: tuple[str, ...]
) -> None:
    for filters in ({}, {"vendor": "Vendor 7"}):
        for sort in (None, *SORTS):
            plan = plans(Selection(statuses, filters, q, sort))

            assert not TABLE_SCAN.search(plan), f"{filters} by {sort}\n{plan}"


# --- depth ------------------------------------------------------------------------------------


def buffers_read(statement: Statement) -> int:
    """How many pages of tables and indexes a statement looks at, on the connection that ran it."""
    plan = fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}", statement.params)
    top = plan[0][0][0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def _planned(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prepared statements are planned for their parameters, or once for any."""
    fetch(f"SET plan_cache_mode = {request.param}; SELECT 1", {})
    yield
    fetch("RESET plan_cache_mode; SELECT 1", {})


@pytest.mark.usefixtures("_planned")
@pytest.mark.parametrize("sort", [None, *SORTS])
def test_a_page_50_000_products_deep_reads_as_little_as_the_first(sort: str | None) -> None:
    chosen = Selection(VISITOR, sort=sort)
    deep = key_of(chosen, 50_000)

    with statements() as sent:
        listing.page(chosen, 26)
        listing.page(chosen, 26, deep)
        listing.page(chosen, 26, deep, backwards=True)

    first, after, before = (buffers_read(s) for s in sent if not s.sql.startswith("PREPARE"))
    assert first < 60  # a page of the index and one of the table for each row, and some on the way
    assert max(after, before) < first + 30


# --- round trips ------------------------------------------------------------------------------


@pytest.fixture
def client(migrated: Flask) -> FlaskClient:
    """A visitor, among the products of this module."""
    return migrated.test_client()


@pytest.mark.parametrize("headers", [{}, ADMIN], ids=["visitor", "key"])
@pytest.mark.parametrize(
    "query",
    ["", "limit=200", "sort=-price", "fields=id", "include=count", "vendor=Vendor+7&stock[gt]=5",
     "sort=name&category=Area+3&include=count", "q=kettle", "q=kettle&include=count&sort=id",
     "vendor=Nobody", "vendor=Nobody&include=count"],
)  # fmt: skip
def test_a_page_is_one_statement_without_a_transaction(
    client: FlaskClient, query: str, headers: dict[str, str]
) -> None:
    for _ in range(2):  # what is prepared, is prepared once, for new pages and for kept ones
        client.get(f"{URL}?{query}", headers=headers)

    for kept in (True, False):
        if not kept:
            pages._kept.clear()
        with statements() as sent:
            response = client.get(f"{URL}?{query}", headers=headers)

        assert response.status_code == 200, response.text
        assert [statement.autocommit for statement in sent] == [True]


def test_so_is_the_page_behind_it(client: FlaskClient) -> None:
    for query in ("", "sort=-price", "q=kettle", "q=kettel"):
        following = client.get(f"{URL}?{query}&limit=2").get_json()["next"]
        for _ in range(2):
            client.get(following)

        with statements() as sent:
            page = client.get(following).get_json()

        assert len(page["data"]) == 2
        assert len(sent) == 1


@pytest.mark.parametrize("query", ["q=zzzzz", "q=zzzzz&sort=name", "q=kettel", "q=!"])
def test_a_search_that_finds_nothing_is_repeated_once(client: FlaskClient, query: str) -> None:
    with statements() as sent:
        client.get(f"{URL}?{query}")

    assert [statement.autocommit for statement in sent] == [True, True]
