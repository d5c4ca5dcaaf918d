"""Who is asking: the request behind whatever runs now, in a web process or in a worker.

Set at the edge (`api/context.py` for a request, `tasks.ContextTask` for a task), read by the log
and by `jobs.queue`, which stores it with a job, so that the job's log lines bear the request's id
and its links the caller's host. A context variable, because the domains know no Flask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """What travels from a request into the tasks that it causes."""

    request_id: str | None = None
    base_url: str | None = None
    key_id: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The form in which it is stored with a job and sent in a message's headers."""
        return asdict(self)


_NO_ONE = Caller()
_current: ContextVar[Caller] = ContextVar("caller", default=_NO_ONE)


def current() -> Caller:
    """The caller of what runs now; all fields are None outside a request and a task."""
    return _current.get()


def begin(caller: Caller) -> None:
    """Make `caller` the current one, until the next `begin`."""
    _current.set(caller)


@contextmanager
def acting_for(caller: Caller) -> Iterator[None]:
    """Make `caller` the current one for a block."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
