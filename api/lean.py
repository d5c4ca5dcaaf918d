"""Flask without what an API has no use for, where it costs time in every request."""

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface


class _NoSessions(SessionInterface):
    """No cookies: who calls is said by a key. Flask's own would make a signer for each request."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """A session that cannot be written to, and is not saved."""
        return self.make_null_session(app)


class LeanFlask(Flask):
    """Flask for plain functions and no sessions."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function: no view is a coroutine, and looking whether it is one takes time."""
        return func


# No line of the log tells its thread or the place in the code that wrote it: the ways to save that
# time which the documentation of `logging` names.
logging._srcfile = None
logging.logThreads = False
logging.logMultiprocessing = False
logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # since Python 3.12
