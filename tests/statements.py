"""What the app sends to PostgreSQL, noted where it is sent, and how that is cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class
from sqlalchemy import event
from sqlalchemy.orm import Session

from models import db


def close_connection(session: Session) -> None:
    """Let the session's connection be dead, which neither it nor its pool has been told."""
    driver = session.connection().connection.driver_connection
    assert driver is not None
    driver.close()


class Statement(NamedTuple):
    """SQL with its parameters, as psycopg2 takes it."""

    sql: str
    params: Any
    autocommit: bool


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """All that is sent in the block, by `reads` and by SQLAlchemy; needs the app's context."""
    sent: list[Statement] = []

    class Noting(Cursor):
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's name
            sent.append(Statement(query, vars, self.connection.autocommit))
            super().execute(query, vars)

    def note(_connection: object, cursor: Any, sql: str, params: Any, *_: object) -> None:
        sent.append(Statement(sql, params, cursor.connection.autocommit))

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("reads.Cursor", Noting)
            yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
