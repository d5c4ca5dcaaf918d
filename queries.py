"""How many statements a request or a job has sent to PostgreSQL, and which was the slowest.

Counted where statements are sent, by `reads.fetch` and through SQLAlchemy's events; read by whoever
writes the line in the log. Statements are known here without their parameters.
"""

import time
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, event

_STARTED = "pushcart.started"  # in a connection's info
_MOST_CHARACTERS = 500  # of a statement, in the log


class Tally:
    """What has been sent since it began."""

    __slots__ = ("_slowest", "_slowest_seconds", "count")

    def __init__(self) -> None:
        self.count = 0
        self._slowest = ""
        self._slowest_seconds = 0.0

    def add(self, sql: str, seconds: float) -> None:
        """Count a statement that took so long."""
        self.count += 1
        if seconds >= self._slowest_seconds:
            self._slowest, self._slowest_seconds = sql, seconds

    def slowest(self) -> dict[str, Any]:
        """The fields that tell of the slowest; none where nothing was sent."""
        if not self.count:
            return {}
        sql = " ".join(self._slowest.split())[:_MOST_CHARACTERS]
        return {"slowest_ms": round(self._slowest_seconds * 1000, 1), "slowest_query": sql}


_current: ContextVar[Tally | None] = ContextVar("queries", default=None)


def begin() -> Tally:
    """Count anew, for what runs from now on."""
    tally = Tally()
    _current.set(tally)
    return tally


def add(sql: str, seconds: float) -> None:
    """Count a statement for what runs now, if anything is counted."""
    tally = _current.get()
    if tally is not None:
        tally.add(sql, seconds)


def watch(engine: Engine) -> None:
    """Count what is sent through this engine."""
    event.listen(engine, "before_cursor_execute", _before)
    event.listen(engine, "after_cursor_execute", _after)
    event.listen(engine, "handle_error", _failed)


def _before(connection: Connection, *_: Any) -> None:
    connection.info[_STARTED] = time.perf_counter()


def _after(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    add(statement, time.perf_counter() - connection.info[_STARTED])


def _failed(failure: Any) -> None:
    """What has run into a timeout was the slowest, most likely."""
    if failure.connection is not None and failure.statement and not failure.connection.closed:
        add(failure.statement, time.perf_counter() - failure.connection.info.get(_STARTED, 0))
