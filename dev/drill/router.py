"""Heroku's router: passes each request to a dyno that lives, over connections that it keeps.

A request that finds no dyno waits for one. One whose dyno hangs up is never answered, so that the
drill can tell it from an answer of the app; Heroku would say 503 (H13).
"""

import http.client
import random
import select
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

_PATIENCE_SECONDS = 60  # without a dyno: then H20
_ANSWER_SECONDS = 30  # then H12
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Router:
    """Listens at `url`."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Passing)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))

    def route_to(self, ports: Sequence[int]) -> None:
        """Pass what comes from now on to the dynos at these ports."""
        self._server.ports = tuple(ports)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    ports: tuple[int, ...] = ()
    daemon_threads = True


class _Passing(BaseHTTPRequestHandler):
    """A connection of a client, and those that were opened for it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._kept: dict[int, http.client.HTTPConnection] = {}

    def finish(self) -> None:
        for connection in self._kept.values():
            connection.close()
        super().finish()

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {n: v for n, v in self.headers.items() if n.lower() not in _OF_ONE_CONNECTION}
        headers = {
            **kept,
            "X-Forwarded-For": self.client_address[0],
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Port": "443",
            "Via": "1.1 heroku-router",
        }
        try:
            connection = self._connected()
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815  # as the base has it

    def _connected(self) -> http.client.HTTPConnection:
        """A connection to a dyno, kept or new: a dyno that takes none is no dyno for us."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ports = self.server.ports
            if not ports:
                time.sleep(0.02)
                continue
            port = random.choice(ports)
            kept = self._kept.get(port)
            if kept is not None:
                if kept.sock is not None and not _has_ended(kept):
                    return kept
                kept.close()
            made = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
            try:
                made.connect()
            except OSError:
                time.sleep(0.02)
                continue
            self._kept[port] = made
            return made
        raise TimeoutError

    def log_message(self, *_: object) -> None:
        """Nothing: the clients count."""


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the dyno has hung up: there is something to be read where nothing was asked."""
    readable, _, _ = select.select([connection.sock], [], [], 0)
    return bool(readable)
