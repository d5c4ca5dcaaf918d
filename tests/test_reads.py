"""`reads.fetch`: what every public read goes through."""

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from config import settings
from models import db
from reads import fetch

pytestmark = pytest.mark.usefixtures("session")


@pytest.fixture(params=[False, True], ids=["plain", "prepared"])
def prepared(request: pytest.FixtureRequest) -> bool:
    """Whether the statement is prepared."""
    return bool(request.param)


def test_rows_have_their_columns_as_attributes(prepared: bool) -> None:
    rows = fetch("SELECT %(a)s::int AS a, %(b)s AS b", {"a": 5, "b": "x%'y"}, prepared=prepared)

    assert [(row.a, row.b) for row in rows] == [(5, "x%'y")]


def test_a_parameter_may_stand_twice(prepared: bool) -> None:
    (row,) = fetch("SELECT %(a)s::int + %(a)s::int AS twice", {"a": 4}, prepared=prepared)

    assert row.twice == 8


def test_connections_that_died_in_the_pool_are_replaced(prepared: bool) -> None:
    fetch("SELECT 1 AS one", {}, prepared=prepared)
    end_all_connections()

    (row,) = fetch("SELECT 1 AS one", {}, prepared=prepared)

    assert row.one == 1


def test_whoever_writes_is_given_none_of_them(session: Session) -> None:
    connections = [db.engine.connect() for _ in range(2)]
    for connection in connections:
        connection.close()
    end_all_connections()

    for _ in range(2):
        assert session.scalar(text("SELECT 1")) == 1
        with db.engine.connect() as other:
            assert other.scalar(text("SELECT 1")) == 1


def end_all_connections() -> None:
    """As PostgreSQL does when it restarts."""
    with closing(psycopg2.connect(settings.database_url.replace("+psycopg2", ""))) as someone:
        someone.cursor().execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_statement_that_the_server_has_forgotten_is_run_as_it_is() -> None:
    # As behind a pooler that lends another server process for each transaction.
    fetch("SELECT 'kept' AS state", {}, prepared=True)
    fetch("DEALLOCATE ALL; SELECT 1", {})

    (row,) = fetch("SELECT 'kept' AS state", {}, prepared=True)

    assert row.state == "kept"


def test_a_statement_that_someone_else_has_prepared_is_used() -> None:
    sql = "SELECT 'theirs' AS state"
    fetch(sql, {}, prepared=True)
    connection = db.engine.raw_connection()
    connection.info.clear()
    connection.close()

    (row,) = fetch(sql, {}, prepared=True)

    assert row.state == "theirs"


def test_what_is_too_slow_ends_as_an_error_of_the_database() -> None:
    with pytest.raises(OperationalError):
        fetch("SET statement_timeout = 50; SELECT pg_sleep(5)", {})

    assert fetch("SHOW statement_timeout", {})[0].statement_timeout == "10s"


@pytest.mark.usefixtures("migrated")
def test_an_error_leaves_the_pool_as_it_was() -> None:
    with pytest.raises(psycopg2.ProgrammingError):
        fetch("SELECT nonsense", {})

    with db.engine.connect() as connection:
        assert connection.connection.driver_connection is not None
        assert connection.connection.driver_connection.autocommit is False
    assert fetch("SELECT 1 AS one", {})[0].one == 1


def test_a_read_opens_no_transaction(prepared: bool) -> None:
    (row,) = fetch("SELECT pg_backend_pid() AS pid", {}, prepared=prepared)

    with closing(psycopg2.connect(settings.database_url.replace("+psycopg2", ""))) as someone:
        cursor = someone.cursor()
        cursor.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (row.pid,))
        assert cursor.fetchone() == ("idle",)
