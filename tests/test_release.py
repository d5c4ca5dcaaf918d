"""`flask release`: beside another release, behind a lock, over broken indexes, and going back."""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from api.commands.release import _LOCK, release
from catalog import documents
from dev.lint_migrations import squawk, write_sql
from models import db
from tests.processes import BIN, ROOT
from tests.stage import created
from tests.test_documents import make_outdated
from tests.test_migrations import INDEXES, catalogue, scratch_database

COMMAND = [str(BIN / "flask"), "--app", "wsgi", "release"]


@pytest.fixture
def scratch() -> Iterator[Flask]:
    """An app on an empty database of its own."""
    with scratch_database("scratch_release") as app:
        app.cli.add_command(release)
        yield app


def released(app: Flask) -> str:
    """What the command prints when it goes well."""
    done = app.test_cli_runner().invoke(release)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def other(connection: Connection, *statements: str) -> None:
    """Let someone else execute something."""
    for statement in statements:
        connection.execute(text(statement))


def test_an_empty_database_gets_everything_and_an_up_to_date_one_nothing(scratch: Flask) -> None:
    released(scratch)
    built = catalogue(INDEXES)

    assert released(scratch) == ""
    assert built == catalogue(INDEXES)
    assert "ix_products_vendor_sorts" in str(built)


def test_of_two_releases_at_once_one_waits_for_the_other(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        other(connection, f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        with subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, text=True) as waiting:
            assert waiting.stdout is not None
            said = waiting.stdout.readline()
            blocked = connection.scalar(
                text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            )
            assert waiting.poll() is None
            other(connection, f"SELECT pg_advisory_unlock({_LOCK})")
            rest = waiting.stdout.read()

    assert said == "Another release is at work: waiting for it.\n"
    # Who waits inside PostgreSQL is in a transaction, for which concurrent builds would wait.
    assert blocked == 0
    assert (waiting.returncode, rest) == (0, "")


def test_a_database_ahead_of_the_code_is_left_as_it_is(scratch: Flask) -> None:
    released(scratch)
    with db.engine.begin() as connection:
        other(
            connection,
            "ALTER TABLE products ADD COLUMN of_tomorrow text",
            "UPDATE alembic_version SET version_num = '9999'",
        )

    said = released(scratch)

    assert said == "The database is ahead of this release, at 9999: no migration.\n"
    assert catalogue("SELECT version_num FROM alembic_version") == {"9999"}


def test_a_migration_behind_a_lock_gives_up_in_time_and_is_tried_again(scratch: Flask) -> None:
    """The lock is one that a concurrent build waits for, and so leaves a broken index behind."""
    upgrade(revision="0002")
    with db.engine.connect() as connection:
        other(connection, "LOCK TABLE variants IN ROW EXCLUSIVE MODE")  # as any writer does
        ending = threading.Timer(5, connection.rollback)
        ending.start()
        started = time.monotonic()
        said = released(scratch)
        ending.join()

    assert "Again in 1 s: " in said
    assert "Dropping ix_variants_" in said
    assert time.monotonic() - started < 15
    assert catalogue("SELECT count(*)::text FROM pg_index WHERE NOT indisvalid") == {"0"}
    assert "ix_variants_sku_prefix" in str(catalogue(INDEXES))


def test_products_that_someone_writes_are_not_waited_for(admin: FlaskClient) -> None:
    app, names = admin.application, ("Tee", "Mug", "Cap")
    ids = [created(admin, name=name)["id"] for name in names]
    with app.app_context():
        make_outdated(db.session())
        with db.engine.connect() as connection:
            connection.execute(
                text("SELECT 1 FROM products WHERE id = :id FOR UPDATE"), {"id": ids[1]}
            )
            started = time.monotonic()
            said = released(app)
            took = time.monotonic() - started

        assert said.startswith("Rendered 2 documents anew.\nSome are being written")
        assert took < 2
        assert released(app) == "Rendered 1 documents anew.\n"
        assert not documents.are_outdated(db.session())


def test_each_batch_of_documents_is_a_transaction_of_its_own(
    admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Tee", "Mug", "Cap"):
        created(admin, name=name)
    by_hundreds, batches = documents.render_outdated, count()

    def by_two(session: Session, after: int) -> Sequence[int]:
        if next(batches):
            raise KeyboardInterrupt
        return by_hundreds(session, after, limit=2)

    monkeypatch.setattr(documents, "render_outdated", by_two)
    with admin.application.app_context():
        make_outdated(db.session())
        assert admin.application.test_cli_runner().invoke(release).exit_code != 0
        db.session.rollback()

        outdated = "SELECT count(*)::text FROM products WHERE document_shape = 0"
        assert catalogue(outdated) == {"1"}


# --- the linter of migrations -------------------------------------------------------------------


SETTINGS = "SET lock_timeout = '4s'; SET statement_timeout = '15min'"


def linted(folder: Path, sql: str) -> int:
    """The status of the linter for a migration of this SQL."""
    file = folder / "9999.sql"
    file.write_text(f"{SETTINGS};\nBEGIN;\n{sql};\nCOMMIT;")
    return squawk([file])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX IF NOT EXISTS ix_products_a ON products (vendor)",
        "ALTER TABLE products RENAME COLUMN vendor TO brand",
        "ALTER TABLE products DROP COLUMN vendor",
        "ALTER TABLE products ALTER COLUMN vendor SET NOT NULL",
        "ALTER TABLE products ADD COLUMN brand text NOT NULL",
        "ALTER TABLE products ALTER COLUMN vendor TYPE varchar(255)",
        "ALTER TABLE products ADD CONSTRAINT ck_products_a CHECK (version > 0)",
    ],
)
def test_the_linter_refuses_what_is_not_safe_beside_old_code(tmp_path: Path, sql: str) -> None:
    assert linted(tmp_path, sql) != 0


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE products ADD COLUMN brand text",
        "COMMIT; CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_products_a ON products (name); BEGIN",
    ],
)
def test_the_linter_takes_what_is_safe(tmp_path: Path, sql: str) -> None:
    assert linted(tmp_path, sql) == 0


def test_the_linter_sees_every_migration(app: Flask, tmp_path: Path) -> None:
    files = write_sql(app, tmp_path)

    there = sorted(file.name[:4] for file in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert [file.stem for file in files] == there
    assert all(file.read_text().startswith(SETTINGS) for file in files)
    assert "CREATE TABLE products" in files[0].read_text()
