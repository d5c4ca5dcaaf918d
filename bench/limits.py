"""What no Flask or WSGI app on this gunicorn can outrun: a hello world, and a bare function."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

BODY = b"x" * 1400  # as long as the document of one of the bench's products
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]

hello = Flask(__name__)


@hello.get("/")
def hello_world() -> str:
    """What Flask's quickstart begins with."""
    return "<p>Hello, World!</p>"


def bare(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The least that WSGI allows."""
    start_response("200 OK", HEADERS)
    return [BODY]
