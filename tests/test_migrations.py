"""Migrations make what the models say, and every constraint refuses what it is there for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from flask_migrate import Migrate, downgrade, upgrade
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import settings
from models import db
from tests.processes import ROOT

COLUMNS = """
    SELECT table_name || '.' || column_name || ': ' || data_type || ' ' || is_nullable || ' '
        || coalesce(column_default, '') || ' ' || is_identity
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
CONSTRAINTS = """
    SELECT conrelid::regclass || '.' || conname || ': ' || pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = (
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
)


@pytest.fixture
def empty() -> Iterator[Flask]:
    """An app of the same models and migrations on an empty database of its own."""
    with scratch_database("scratch_migrations") as app:
        yield app


@contextmanager
def scratch_database(name: str) -> Iterator[Flask]:
    """A database that lives as long as the block, and an app that has only that."""
    url = make_url(settings.database_url)
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
        app = Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = url.set(database=name)
        db.init_app(app)
        Migrate(app, db, directory=str(ROOT / "migrations"))
        with app.app_context():
            yield app
            db.session.remove()
            db.engine.dispose()
        connection.execute(text(f"DROP DATABASE {name}"))
    server.dispose()


def catalogue(query: str) -> set[str]:
    """What PostgreSQL's catalogue holds in the current app's database."""
    with db.engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    "query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"]
)
def test_migrating_gives_exactly_what_the_models_say(query: str) -> None:
    upgrade()
    migrated = catalogue(query)

    with scratch_database("scratch_models"):
        with db.engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION unaccent; CREATE EXTENSION pg_trgm"))
        db.create_all()
        declared = catalogue(query)

    assert declared
    assert migrated == declared


@pytest.mark.usefixtures("empty")
def test_every_migration_can_be_taken_back_and_applied_again() -> None:
    upgrade()
    first = catalogue(CONSTRAINTS) | catalogue(INDEXES) | catalogue(COLUMNS)

    downgrade(revision="base")
    nothing = catalogue(CONSTRAINTS) | catalogue(INDEXES) | catalogue(COLUMNS)
    upgrade()

    assert nothing == set()
    assert catalogue(CONSTRAINTS) | catalogue(INDEXES) | catalogue(COLUMNS) == first


@pytest.mark.usefixtures("empty")
def test_the_vocabulary_has_the_words_of_old_products_and_of_new_ones() -> None:
    said = """setweight(to_tsvector('simple', '{} r2d2'), 'A') || to_tsvector('simple', 'told')"""
    with_words = "UPDATE products SET search_words = "
    upgrade(revision="0006")
    with db.engine.begin() as connection:
        connection.execute(text(product(search_words=said.format("old twice"))))
        connection.execute(text(product(id="10", handle="'cup'", search_words="'twice:1A'")))

    upgrade()
    upgraded = vocabulary()
    with db.engine.begin() as connection:
        connection.execute(text(product(id="11", handle="'pot'", search_words=said.format("new"))))
        connection.execute(text(with_words + said.format("newest twice")))

    assert upgraded == ["old", "twice"]
    assert vocabulary() == ["new", "newest", "old", "twice"]


@pytest.mark.usefixtures("empty")
def test_the_ledger_opens_with_the_stock_that_is_there_and_with_nothing_twice() -> None:
    upgrade(revision="0009")
    with db.engine.begin() as connection:
        connection.execute(text(product(id="1")))
        for number, stock in enumerate(("7", "-3", "0", "NULL")):
            options = f"""'{{"n": "{number}"}}'"""
            connection.execute(text(variant(stock=stock, options=options)))

    upgrade()
    opened = movements()
    with db.engine.begin() as connection:  # as if the first one had failed at its end
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
        connection.execute(text("UPDATE variants SET stock = 8 WHERE stock = 7"))
    upgrade()

    opening = [(7, 7, "opening"), (-3, -3, "opening"), (0, 0, "opening")]
    assert opened == opening
    assert movements() == [*opening, (1, 8, "edit")]


def movements() -> list[tuple[int, int, str]]:
    """What has changed stock, by how much, and to what."""
    statement = text("SELECT delta, stock_after, reason FROM stock_movements ORDER BY id")
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def vocabulary() -> list[str]:
    """All words, as often as they stand there."""
    with db.engine.connect() as connection:
        return sorted(connection.execute(text("SELECT word FROM vocabulary")).scalars())


def test_migrations_are_numbered_and_follow_one_another() -> None:
    files = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))

    for number, file in enumerate(files, start=1):
        source = file.read_text()
        assert file.name.startswith(f"{number:04}_")
        assert f'revision = "{number:04}"' in source, file.name
        before = f'"{number - 1:04}"' if number > 1 else "None"
        assert f"down_revision = {before}" in source, file.name
    assert files


def test_every_constraint_is_named_after_its_table(session: Session) -> None:
    kinds = {"c": "ck", "f": "fk", "p": "pk", "u": "uq"}
    rows = session.execute(
        text(
            "SELECT contype, conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u')"
            " AND conrelid <> 'alembic_version'::regclass"
        )
    ).all()

    odd = [
        name for kind, table, name in rows
        if not re.fullmatch(f"{kinds[kind]}_{table}(?!_{kinds[kind]}_)(_[a-z_]+)?", name)
    ]  # fmt: skip

    assert rows
    assert odd == []


def product(**columns: str) -> str:
    """An INSERT of a product, each column given as SQL."""
    return insert("products", **{"id": "9", "handle": "'mug'", "name": "'Mug'", **columns})


def variant(**columns: str) -> str:
    """An INSERT of a variant of the product 1."""
    return insert("variants", **{"product_id": "1", "options": """'{"a": "b"}'""", **columns})


def job(**columns: str) -> str:
    """An INSERT of a job."""
    return insert("jobs", **{"kind": "'import'", "task": "'catalog.import'", **columns})


def api_key(**columns: str) -> str:
    """An INSERT of a key of the API."""
    given = {"prefix": "'pushcart_12345678'", "name": "'Till'", "scopes": "'[]'"}
    return insert("api_keys", **{**given, "secret_hash": "sha256('')", **columns})


def answer(**columns: str) -> str:
    """An INSERT of an answer that is kept for repeats."""
    given = {"digest": "sha256('')", "fingerprint": "sha256('')", "status": "201"}
    return insert("idempotent_answers", **{**given, "headers": "'{}'", "body": "''", **columns})


def event(**columns: str) -> str:
    """An INSERT of an event."""
    given = {"type": "'product.created'", "subject_id": "'1'", "payload": "'{}'"}
    return insert("events", **{**given, **columns})


def webhook(**columns: str) -> str:
    """An INSERT of a webhook."""
    given = {"url": "'https://a.example'", "secret": "'whsec_x'", "cursor": "0"}
    return insert("webhooks", **{**given, **columns})


def delivery(**columns: str) -> str:
    """An INSERT of a delivery of the event 1 to the webhook 1."""
    return insert("webhook_deliveries", **{"webhook_id": "1", "event_id": "2", **columns})


def mail(**columns: str) -> str:
    """An INSERT of a mail."""
    given = {"kind": "'confirmation'", "reference": "'7'", "recipient": "'a@b.example'"}
    return insert("mails", **{**given, "job_id": "1", **columns})


def order(**columns: str) -> str:
    """An INSERT of an order."""
    given = {"id": "9", "public_id": "repeat('a', 32)", "email": "'a@b'", "currency": "'USD'"}
    return insert("orders", **{**given, "total": "1", **columns})


def line(**columns: str) -> str:
    """An INSERT of a line of the order 1."""
    ids = {"order_id": "1", "position": "1", "product_id": "1", "variant_id": "1"}
    sold = {"name": "'Tee'", "quantity": "2", "unit_price": "0.5", "total": "1"}
    return insert("order_lines", **{**ids, **sold, **columns})


def movement(**columns: str) -> str:
    """An INSERT of a change of stock."""
    given = {"variant_id": "1", "product_id": "1", "delta": "1", "reason": "'edit'"}
    return insert("stock_movements", **{**given, **columns})


def insert(table: str, **columns: str) -> str:
    """An INSERT statement from SQL expressions."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"  # noqa: S608  # ours


REFUSED = [
    ("ck_products_handle", product(handle="''")),
    ("ck_products_handle", product(handle="repeat('h', 256)")),
    ("ck_products_handle", product(handle="' mug'")),
    ("ck_products_handle", product(handle="'a/b'")),
    ("ck_products_handle", product(handle=r"E'a\nb'")),
    ("ck_products_name", product(name="''")),
    ("ck_products_name", product(name="repeat('n', 513)")),
    ("ck_products_status", product(status="'sold'")),
    ("ck_products_vendor", product(vendor="repeat('v', 256)")),
    ("ck_products_category", product(category="repeat('c', 513)")),
    ("ck_products_tags", product(tags="'{}'")),
    ("ck_products_options", product(options="'{}'")),
    ("ck_products_images", product(images="'{}'")),
    ("ck_products_metadata", product(metadata="'[]'")),
    ("ck_products_version", product(version="0")),
    ("uq_products_handle", product(handle="'tee'")),
    ("ck_variants_options", variant(options="'[]'")),
    ("ck_variants_price", variant(price="-0.01")),
    ("ck_variants_compare_at_price", variant(compare_at_price="-0.01")),
    ("ck_variants_weight_grams", variant(weight_grams="-1")),
    ("ck_variants_sku", variant(sku="''")),
    ("ck_variants_sku", variant(sku="repeat('s', 256)")),
    ("ck_variants_barcode", variant(barcode="''")),
    ("ck_variants_stock", variant(stock="2147483648")),
    ("ck_variants_stock", variant(stock="-2147483648")),
    ("uq_variants_product_id_options", variant(options="'{}'")),
    ("fk_variants_product_id", variant(product_id="999")),
    ("fk_file_chunks_file_id", insert("file_chunks", file_id="999", number="0", content="''")),
    ("fk_jobs_file_id", job(file_id="999")),
    ("fk_jobs_result_file_id", job(result_file_id="999")),
    ("ck_jobs_status", job(status="'stuck'", finished_at="now()")),
    ("ck_jobs_lease", job(status="'running'")),
    ("ck_jobs_lease", job(lease_until="now()")),
    ("ck_jobs_finished_at", job(status="'failed'")),
    ("ck_jobs_finished_at", job(finished_at="now()")),
    ("ck_api_keys_prefix", api_key(prefix="'pushcart_1234567'")),
    ("ck_api_keys_prefix", api_key(prefix="'pushcart_1234567g'")),
    ("ck_api_keys_prefix", api_key(prefix=r"E'pushcart_12345678\n'")),
    ("ck_api_keys_secret_hash", api_key(secret_hash="'a secret in clear'")),
    ("ck_api_keys_name", api_key(name="''")),
    ("ck_api_keys_name", api_key(name="repeat('n', 256)")),
    ("ck_api_keys_scopes", api_key(scopes="'{}'")),
    ("uq_api_keys_prefix", api_key(prefix="'pushcart_00000001'")),
    ("ck_idempotent_answers_digest", answer(digest="'short'")),
    ("ck_idempotent_answers_fingerprint", answer(fingerprint="'short'")),
    ("ck_idempotent_answers_status", answer(status="199")),
    ("ck_idempotent_answers_status", answer(status="500")),
    ("ck_idempotent_answers_headers", answer(headers="'[]'")),
    ("ck_events_payload", event(payload="'[]'")),
    ("uq_events_position", event(position="1")),
    ("ck_event_feed_single", insert("event_feed", id="2")),
    ("ck_event_feed_forgotten", "UPDATE event_feed SET last = 5, forgotten = 6"),
    ("ck_webhooks_url", webhook(url="''")),
    ("ck_webhooks_url", webhook(url="repeat('u', 2049)")),
    ("ck_webhooks_types", webhook(types="'{}'")),
    ("ck_webhooks_secret", webhook(secret="'x'")),
    ("ck_webhook_deliveries_status", delivery(status="'lost'")),
    ("fk_webhook_deliveries_webhook_id", delivery(webhook_id="999")),
    ("fk_webhook_deliveries_event_id", delivery(event_id="999")),
    ("uq_webhook_deliveries_webhook_id", delivery(event_id="1")),
    ("ck_mails_status", mail(status="'lost'")),
    ("ck_mails_sent_at", mail(status="'sent'")),
    ("ck_mails_sent_at", mail(sent_at="now()")),
    ("uq_mails_reference", mail(reference="'1'")),
    ("uq_orders_public_id", order(public_id="repeat('0', 32)")),
    ("ck_orders_public_id", order(public_id="repeat('a', 31)")),
    ("ck_orders_public_id", order(public_id="repeat('G', 32)")),
    ("ck_orders_status", order(status="'paid'")),
    ("ck_orders_canceled_at", order(status="'canceled'")),
    ("ck_orders_canceled_at", order(canceled_at="now()")),
    ("ck_orders_email", order(email="'a@'")),
    ("ck_orders_metadata", order(metadata="'[]'")),
    ("ck_orders_total", order(total="-0.01")),
    ("fk_order_lines_order_id", line(order_id="999")),
    ("ck_order_lines_options", line(options="'[]'")),
    ("ck_order_lines_quantity", line(quantity="0", total="0")),
    ("ck_order_lines_unit_price", line(unit_price="-1", total="-2")),
    ("ck_order_lines_total", line(total="1.01")),
    ("ck_stock_movements_reason", movement(reason="'theft'")),
    ("fk_job_errors_job_id", insert("job_errors", job_id="999", line="1", code="''", detail="''")),
]  # fmt: skip


@pytest.fixture
def tee(session: Session) -> Session:
    """A session that sees the product 1, `tee`, with one variant; deferred checks come at once."""
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    session.execute(text(product(id="1", handle="'tee'")))
    session.execute(text(variant(options="'{}'")))
    session.execute(text(api_key(prefix="'pushcart_00000001'")))
    session.execute(text(event(id="1", position="1")))
    session.execute(text(event(id="2")))
    session.execute(text(webhook(id="1")))
    session.execute(text(delivery(event_id="1")))
    session.execute(text(mail(reference="'1'")))
    session.execute(text(order(id="1", public_id="repeat('0', 32)")))
    return session


@pytest.mark.parametrize(("constraint", "statement"), REFUSED, ids=[n for n, _ in REFUSED])
def test_a_constraint_refuses(tee: Session, constraint: str, statement: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        tee.execute(text(statement))

    assert refused.value.orig is not None
    assert refused.value.orig.diag.constraint_name == constraint  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "statement",
    [
        *(product(), variant(), job(), api_key(), answer(), order(), line(), movement()),
        *(event(), event(position="2"), webhook(), delivery(), mail()),
    ],
    ids=[
        *("product", "variant", "job", "key", "answer", "order", "line", "movement"),
        *("event", "placed event", "webhook", "delivery", "mail"),
    ],
)
def test_what_breaks_no_rule_is_taken(tee: Session, statement: str) -> None:
    assert tee.execute(text(statement)).rowcount == 1  # type: ignore[attr-defined]


def test_every_constraint_of_the_models_has_been_tried() -> None:
    declared = {
        str(rule.name)
        for table in db.metadata.tables.values()
        for rule in (*table.constraints, *table.indexes)
        if isinstance(rule, CheckConstraint | ForeignKeyConstraint)
        or (isinstance(rule, Index) and rule.unique)
    }

    assert declared == {name for name, _ in REFUSED}


def test_a_deleted_product_does_not_count_for_a_handle(tee: Session) -> None:
    tee.execute(text("UPDATE products SET deleted_at = now() WHERE id = 1"))

    tee.execute(text(product(handle="'tee'")))

    handles = "SELECT count(*), count(deleted_at) FROM products WHERE handle = 'tee'"
    assert tuple(tee.execute(text(handles)).one()) == (2, 1)


def test_a_variant_may_come_before_its_product_within_a_transaction(session: Session) -> None:
    session.execute(text(variant()))

    session.execute(text(product(id="1")))

    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    assert session.scalar(text("SELECT product_id FROM variants")) == 1
