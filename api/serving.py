"""gunicorn's worker and log, where its own let a slow client or a secret through.

gunicorn's `gthread` gives each connection a thread before its request has arrived, and waits in the
main loop while one is closed: a few clients that send a byte now and then, or never hang up, take
all threads of a process. Here a request gets a thread once it has arrived; the rest waits in the
main loop, which waits for nobody.
"""

import json
import re
import socket
import struct
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any

from gunicorn import glogging
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from api import context

ARRIVAL_SECONDS = 15  # for a request's head, and a small body with it
SILENCE_SECONDS = 10  # between two pieces of a larger body, or of an answer
LINGER_SECONDS = 2  # for the other side to close as well, so that it sees the whole answer
HEAD_BYTES = 64 * 1024
SMALL_BODY_BYTES = 64 * 1024  # a body up to this has arrived before a thread begins with it

# Of a body that the app has answered without reading it, so that the connection can be kept.
DRAINED_BYTES, DRAINED_SECONDS = 2 * 1024 * 1024, 5

_READ_BYTES = 64 * 1024
_TIMEOUT = struct.pack("@ll", SILENCE_SECONDS, 0)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_STREAMED = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A connection, with what has arrived of its next request."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arrived = bytearray()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # for the thread, which blocks
            self.sock.setsockopt(socket.SOL_SOCKET, option, _TIMEOUT)

    def is_streamed(self) -> bool | None:
        """Whether a thread has to read the body as it comes; None while there is more to wait for.

        Raises ValueError for a head that is too large.
        """
        head = self.arrived.find(b"\r\n\r\n")
        if head < 0:
            if len(self.arrived) > HEAD_BYTES:
                raise ValueError
            return None
        end = head + 4
        if _STREAMED.search(self.arrived, 0, end):
            return True
        length = _LENGTH.search(self.arrived, 0, end)
        body = int(length[1]) if length else 0
        if body > SMALL_BODY_BYTES:
            return True
        return None if len(self.arrived) < end + body else False

    def hand_over(self) -> None:
        """Give what has arrived to gunicorn's parser."""
        self.init()
        self.parser.unreader.unread(bytes(self.arrived))
        self.arrived.clear()


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """`gthread` for clients that take their time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Each with the time when it ends; the first to end is the first.
        self._arriving: dict[Connection, float] = {}
        self._lingering: dict[Connection, float] = {}
        # Bodies that are read as they come leave one thread to everyone else.
        self._most_streams = max(self.cfg.threads - 1, 1)
        self._streaming: set[Connection] = set()
        self._queued: deque[Connection] = deque()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and wait for its first request."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._arriving:
            self._drop(next(iter(self._arriving)))  # the one that has been slow for longest
        self._await(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Go on with a connection that was kept: its next request begins."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await(conn)

    def finish_request(self, conn: Connection, done: "Future[Any]") -> None:
        """Keep the connection for its next request, or see it off."""
        if conn in self._streaming:
            self._streaming.remove(conn)
            if self._queued:
                self._stream(self._queued.popleft())
        if done.cancelled() or done.exception() is not None or not done.result():
            self._see_off(conn)
            return
        conn.sock.setblocking(False)
        conn.arrived += conn.parser.unreader.take_buffered()
        if conn.arrived:  # the next request has come with this one
            self._await(conn)
        else:
            super().finish_request(conn, done)

    def murder_pending(self) -> None:
        """Close what has had its time; called once a second at least."""
        now = time.monotonic()
        for waiting in (self._arriving, self._lingering):
            while waiting and (first := next(iter(waiting))) and waiting[first] < now:
                if first.arrived:
                    _refuse(first.sock, *_LATE)
                self._drop(first)
        while self._queued and self._queued[0].timeout < now:
            conn = self._queued.popleft()
            _refuse(conn.sock, *_BUSY)
            self._see_off(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what is no request of HTTP; what it was is not logged: it may be a secret."""
        if not isinstance(exc, ParseException):
            path = getattr(req, "path", "?")
            self.log.error("Error handling %s: %s", path, type(exc).__name__, exc_info=exc)
            _refuse(client, *_FAULT)
            return
        self.log.info("Not a request, from %s: %s", addr[0], type(exc).__name__)
        refusal = _MALFORMED
        if isinstance(exc, LimitRequestLine):
            refusal = _LINE_TOO_LARGE
        elif isinstance(exc, LimitRequestHeaders):
            refusal = _HEAD_TOO_LARGE
        _refuse(client, *refusal)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        deadline = time.monotonic() + DRAINED_SECONDS
        return keepalive and bool(conn.parser.finish_body(deadline, DRAINED_BYTES))

    def _await(self, conn: Connection) -> None:
        """Take what has arrived of a request, most often all of it; wait for the rest."""
        try:
            data = conn.sock.recv(_READ_BYTES)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        if data == b"":
            self._close(conn)
            return
        conn.arrived += data or b""
        try:
            streamed = conn.is_streamed()
        except ValueError:
            self._arriving.pop(conn, None)
            _refuse(conn.sock, *_HEAD_TOO_LARGE)
            self._see_off(conn)
            return
        if streamed is None:
            self._arriving.setdefault(conn, time.monotonic() + ARRIVAL_SECONDS)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_arrival, conn))
            return
        self._arriving.pop(conn, None)
        if not streamed:
            conn.hand_over()
            conn.data_ready = True
            self.enqueue_req(conn)
        elif len(self._streaming) < self._most_streams:
            self._stream(conn)
        else:
            conn.timeout = time.monotonic() + ARRIVAL_SECONDS
            self._queued.append(conn)

    def _on_arrival(self, conn: Connection, client: socket.socket) -> None:
        self.poller.unregister(client)
        self._await(conn)

    def _stream(self, conn: Connection) -> None:
        self._streaming.add(conn)
        conn.hand_over()
        conn.data_ready = True
        self.enqueue_req(conn)

    def _see_off(self, conn: Connection) -> None:
        """Close our side, and the connection when the other side has closed too (RFC 9112 §9.6)."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone
            self.nr_conns -= 1
            conn.close()
            return
        conn.arrived.clear()
        self._lingering[conn] = time.monotonic() + LINGER_SECONDS
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_leaving, conn))

    def _on_leaving(self, conn: Connection, client: socket.socket) -> None:
        try:
            gone = not client.recv(_READ_BYTES)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self._arriving.pop(conn, None)
        self._lingering.pop(conn, None)
        self.nr_conns -= 1
        conn.close()


# The status, the code and what is to be said: names of statuses differ between Python's versions.
_MALFORMED = (400, "bad_request", "This is not a request of HTTP/1.1.")
_LATE = (408, "request_timeout", "The request did not arrive.")
_LINE_TOO_LARGE = (414, "uri_too_long", "The address is too long: 8,190 bytes are the most.")
_HEAD_TOO_LARGE = (
    431,
    "request_header_fields_too_large",
    "The head of the request is too large.",
)
_FAULT = (500, "internal_error", "A fault of ours.")
_BUSY = (503, "service_unavailable", "Other uploads are being read. Try again.")


def _refuse(client: socket.socket, number: int, code: str, detail: str) -> None:
    """Send a problem of RFC 9457, if the socket takes it at once."""
    status, request_id = HTTPStatus(number), context.new_request_id()
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    body = json.dumps(problem).encode()
    again = "Retry-After: 5\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\nX-Request-ID: {request_id}\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        f"{again}\r\n"
    )
    try:
        client.setblocking(False)
        client.send(head.encode() + body)
    except OSError:  # it is gone, or takes nothing
        return


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own lines, as all others look; requests have their line from the app."""

    def setup(self, cfg: Any) -> None:
        """Let the lines go to the root logger, which api/logs.py has set up."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def access(self, *_: Any) -> None:
        """Nothing: Heroku asks gunicorn for such lines, which would hold queries and referrers."""
