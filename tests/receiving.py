"""A receiver of webhooks: a real HTTP server in a thread, which answers as it is told."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from standardwebhooks import Webhook

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """A request, as it arrived."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """What it says that its id is."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What has arrived, and how to answer: with the next of `answers`, and then with `usual`."""

    url: str
    usual: Answer
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def verified(self, secret: str) -> list[Received]:
        """All that has arrived, whose signatures are good."""
        for one in self.received:
            Webhook(secret).verify(one.body, one.headers)
        return self.received


def status(code: int, text: str = "", **headers: str) -> Answer:
    """An answer with this status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a header byte by byte, each soon enough for a time-out of reads."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Send an answer without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        handler.wfile.write(b"y" * 65536)


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of this machine, which takes everything."""
    found = Receiver("", status(204))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.received.append(Received(self.path, dict(self.headers), body))
            answer = found.answers.pop(0) if found.answers else found.usual
            try:
                answer(self)
            except OSError:  # the other side has had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
