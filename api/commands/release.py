"""`flask release`: brings the database up to this code, beside the release that still serves.

Heroku runs it for each build, change of settings, promotion and rollback, before it starts the new
release; a status other than 0 keeps the old one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from alembic.migration import MigrationContext
from flask_migrate import upgrade
from psycopg2 import errorcodes
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import OperationalError

from api import health
from catalog import documents
from models import db

_LOCK = 0x72656C65617365  # "release"
_LONGEST_WAIT_SECONDS = 900
# Between the tries of a migration that has given up a lock. The longest transaction of the
# running release ends within its statement_timeout and idle_in_transaction_session_timeout.
_PAUSES_SECONDS = (1, 2, 4, 8, 16)
_PASSING = {errorcodes.LOCK_NOT_AVAILABLE, errorcodes.DEADLOCK_DETECTED}
_MOST_WALKS = 3  # through the products: some may be locked when one comes by

# What a concurrent build has left behind when it failed: IF NOT EXISTS would take it for built.
_BROKEN_INDEXES = text("""
    SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace AND relkind = 'i'
      AND indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
""")


@click.command()
def release() -> None:
    """Bring the database up to this code: migrate, then render documents whose shape changed."""
    with _alone() as connection:
        applied = {*MigrationContext.configure(connection).get_current_heads()}
        unknown = applied - {script.revision for script in health.migrations().walk_revisions()}
        if unknown:  # as after a rollback to an earlier release
            ahead = ", ".join(sorted(unknown))
            click.echo(f"The database is ahead of this release, at {ahead}: no migration.")
        elif applied != {*health.migrations().get_heads()}:
            _migrate(connection)
        _render()


@contextmanager
def _alone() -> Iterator[Connection]:
    """A connection that holds the lock of all releases for as long as the block takes.

    It asks again and again, rather than wait in PostgreSQL: who waits there is in a transaction,
    and the other release's CREATE INDEX CONCURRENTLY would wait for the end of that.
    """
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # from the pool: it ends with the block, and the lock with it
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        waits = False
        while not connection.scalar(select(func.pg_try_advisory_lock(_LOCK))):
            if time.monotonic() > deadline:
                raise click.ClickException("Another release has not ended: giving up.")
            if not waits:
                click.echo("Another release is at work: waiting for it.")
            waits = True
            time.sleep(0.5)
        yield connection


def _migrate(connection: Connection) -> None:
    """Apply what is missing; migrations/env.py says how long it may wait for a lock."""
    for pause in (*_PAUSES_SECONDS, None):
        _drop_broken_indexes(connection)
        try:
            upgrade()
        except OperationalError as error:
            if pause is None or getattr(error.orig, "pgcode", None) not in _PASSING:
                raise
            click.echo(f"Again in {pause} s: {error.orig}".rstrip())
            time.sleep(pause)
        else:
            return


def _drop_broken_indexes(connection: Connection) -> None:
    for index in connection.scalars(_BROKEN_INDEXES).all():
        click.echo(f"Dropping {index}, which was not built to its end.")
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index}"))


def _render() -> None:
    """Render what has another shape, a few documents in each transaction."""
    session, rendered = db.session(), 0
    for _ in range(_MOST_WALKS):
        if not documents.are_outdated(session):
            break
        after = 0
        while ids := documents.render_outdated(session, after):
            session.commit()
            rendered, after = rendered + len(ids), ids[-1]
        session.rollback()
    if rendered:
        click.echo(f"Rendered {rendered} documents anew.")
    if documents.are_outdated(session):
        click.echo("Some are being written by the running release: they stay in its shape.")
    session.rollback()
