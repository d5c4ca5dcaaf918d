"""Reads outside a transaction, in one round trip: `fetch` for the public API, `read` for the rest.

SQLAlchemy's pool lends the connection; the statement goes to psycopg2 as it is, in autocommit: no
BEGIN, no ROLLBACK, no compiling. A statement that is always the same is prepared, once for each
connection: for a table with many indexes PostgreSQL plans far longer than it reads. The claim and
the end of a job, which are one statement each, go the same way: `Prepared`.
"""

import operator
import re
import select
import time
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, TypeVar

import psycopg2
from psycopg2.errors import DuplicatePreparedStatement, InvalidSqlStatementName
from psycopg2.extensions import BYTES, register_type
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class
from sqlalchemy import (
    ColumnElement,
    Engine,
    Executable,
    Row,
    Select,
    Update,
    event,
    tuple_,
)
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.pool import PoolProxiedConnection

import queries

T = TypeVar("T")

_PARAMETER = re.compile(r"%\((\w+)\)s")
_MOST_PREPARED = 64  # for each connection: they stay in the memory of both sides
_PSYCOPG2 = PGDialect_psycopg2()  # type: ignore[no-untyped-call]
_PREPARED = "pushcart.prepared"  # in a connection's info: the names of statements by their SQL


_engine: Engine | None = None


def use(engine: Engine) -> None:
    """Read through this engine, in every thread and outside any app's context; the first counts."""
    global _engine  # noqa: PLW0603  # looked up in a context, it costs a read a tenth of its time
    _engine = _engine or engine


def look_before_use(engine: Engine) -> None:
    """Have the pool give out no connection that PostgreSQL has closed, as it does when it restarts.

    An idle connection has nothing to be read but its end. To see that takes no round trip;
    whoever only reads could try again, but who writes would be refused once for each connection.
    """
    event.listen(engine, "checkout", _refuse_the_dead)


def _refuse_the_dead(driver: Any, _record: object, _proxy: object) -> None:
    if driver.closed:
        raise DisconnectionError
    socket = select.poll()
    socket.register(driver.fileno(), select.POLLIN)
    if socket.poll(0):
        raise DisconnectionError


def fetch(
    sql: str, params: Mapping[str, Any], *, prepared: bool = False, raw: bool = False
) -> Sequence[Any]:
    """Rows, with their columns as attributes, of SQL with parameters such as `%(id)s`.

    `prepared` is for SQL that comes again and again: the first so many are kept. `raw` gives
    text as UTF-8, for what is sent on as it is. A connection that died in the pool (PostgreSQL
    restarted, a proxy dropped it) is found out by its first use, which is safe to repeat for a
    read: it is tried once more on a fresh one. Raises sqlalchemy.exc.OperationalError.
    """
    return _tried_again(lambda: _fetch(sql, params, prepared=prepared, raw=raw))


class Prepared:
    """A statement of SQLAlchemy's that comes again and again, compiled once and sent by `fetch`."""

    def __init__(self, statement: Update, *names: str) -> None:
        """`names` are the parameters and the columns to set that `send` is given."""
        compiled = statement.compile(dialect=_PSYCOPG2, column_keys=names)
        self._sql = str(compiled)
        self._values = compiled.params
        self._forms = {
            name: form
            for name, bind in compiled.binds.items()
            if (form := bind.type.dialect_impl(_PSYCOPG2).bind_processor(_PSYCOPG2))
        }

    def send(self, **given: Any) -> Sequence[Any]:
        """The rows it returns, in a transaction of its own. Repeats and raises as `fetch` does.

        So it must be safe to repeat: a job that is claimed, or has ended, is found no more.
        """
        values = self._values | given
        for name, form in self._forms.items():
            values[name] = form(values[name])
        return fetch(self._sql, values, prepared=True)


def is_away(error: DBAPIError) -> bool:
    """Whether the database failed, and not the statement: the same may succeed a little later.

    A connection that dies does not always do so by an OperationalError.
    """
    return isinstance(error, OperationalError) or error.connection_invalidated


def is_lost(driver: Any, error: psycopg2.Error) -> bool:
    """As `is_away`, of an error on psycopg2's own connection, which SQLAlchemy has not seen."""
    failed = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return failed or bool(driver.closed)


def read(
    statement: Executable,
    params: Mapping[str, Any] | None = None,
    *,
    session: Session | None = None,
) -> Sequence[Row[Any]]:
    """Rows of a statement of SQLAlchemy's, where speed matters less; otherwise as `fetch`.

    In the session's transaction, if there is one: who holds a connection must not want another.
    """
    if session is not None:
        return session.execute(statement, params).all()
    return _tried_again(lambda: _read(statement, params))


def read_page(
    statement: Select[Any],
    columns: Sequence[InstrumentedAttribute[Any]],
    limit: int,
    edge: Sequence[Any] | None,
    *,
    backwards: bool,
) -> Sequence[Row[Any]]:
    """Up to `limit` rows in the order of `columns`, after `edge`, a value of each.

    `backwards`: before it, the nearest first.
    """
    if edge is not None:
        key, edge = tuple_(*columns), tuple(edge)
        statement = statement.where(key < edge if backwards else key > edge)
    order = (column.desc() if backwards else column for column in columns)
    return read(statement.order_by(*order).limit(limit))


Filters = Mapping[str, Callable[[Any], ColumnElement[bool]]]
_BOUNDS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def bounds(name: str, column: InstrumentedAttribute[Any]) -> Filters:
    """Filters by a range of the column, under such names as `created_at[gte]`."""
    return {f"{name}[{bound}]": partial(holds, column) for bound, holds in _BOUNDS.items()}


def passing(filters: Filters, sent: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """What holds of the rows that are asked for: by each filter that has a value in `sent`."""
    asked = ((holds, sent.get(name)) for name, holds in filters.items())
    return [holds(value) for holds, value in asked if value is not None]


def _tried_again(rows: Callable[[], T]) -> T:
    try:
        return rows()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return rows()


def _read(statement: Executable, params: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
    with _the_engine().connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True  # SQLAlchemy's own way takes one more round trip to end it
        try:
            rows = connection.execute(statement, params).all()
        except BaseException:
            connection.invalidate()  # no one else is to meet what is left of it
            raise
        driver.autocommit = False
    return rows


def _fetch(sql: str, params: Mapping[str, Any], *, prepared: bool, raw: bool) -> Sequence[Any]:
    connection = _borrowed()
    driver: Any = connection.driver_connection
    started = time.perf_counter()
    try:
        driver.autocommit = True
        cursor = driver.cursor(cursor_factory=Cursor)
        if raw:
            register_type(BYTES, cursor)
        if prepared:
            _execute_prepared(cursor, sql, params, connection.info.setdefault(_PREPARED, {}))
        else:
            cursor.execute(sql, params)
        row = _row_type(tuple([column.name for column in cursor.description]))
        rows = [row(*values) for values in cursor.fetchall()]
        driver.autocommit = False
    except psycopg2.Error as error:
        lost, dead = is_lost(driver, error), bool(driver.closed)
        connection.invalidate(error)  # and closed: no one else is to meet its rest
        if dead:
            _the_engine().dispose()  # the others in the pool have died with it
        if not lost:
            raise
        raise OperationalError(sql, None, error, connection_invalidated=dead) from None
    finally:
        queries.add(sql, time.perf_counter() - started)
        connection.close()
    return rows


@lru_cache(maxsize=256)
def _row_type(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns, rename=True)  # columns differ


def _the_engine() -> Engine:
    if _engine is None:
        raise RuntimeError("No app has been made yet.")
    return _engine


def _borrowed() -> PoolProxiedConnection:
    try:
        return _the_engine().raw_connection()
    except psycopg2.OperationalError as error:  # there is no server to connect to
        raise OperationalError("connect", None, error) from None


def _execute_prepared(
    cursor: Any, sql: str, params: Mapping[str, Any], known: dict[str, str]
) -> None:
    if sql not in known and len(known) < _MOST_PREPARED:
        known[sql] = _prepare(cursor, sql)
    try:
        cursor.execute(known.get(sql, sql), params)
    except InvalidSqlStatementName:
        # A pooler between us and PostgreSQL has changed the server process under the connection.
        cursor.execute(sql, params)


def _prepare(cursor: Any, sql: str) -> str:
    """Prepare a statement; returns the SQL that executes it with the same parameters."""
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    # Named after what it is: behind a pooler, someone else may have prepared it before.
    statement = f"read_{blake2b(sql.encode(), digest_size=8).hexdigest()}"
    numbered = sql % {name: f"${number}" for number, name in enumerate(names, 1)}
    with suppress(DuplicatePreparedStatement):
        cursor.execute(f"PREPARE {statement} AS {numbered}")
    values = ", ".join(f"%({name})s" for name in names)
    return f"EXECUTE {statement} ({values})" if values else f"EXECUTE {statement}"
