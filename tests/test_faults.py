"""What Sentry is told of a fault: where it lies, and nothing that anybody has sent."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from flask import Flask

from tests.processes import ROOT
from tests.test_config import run

MARK = "hush-7f3a91"  # a secret
PROGRAM = """
import os
import sentry_sdk
from wsgi import app
from sqlalchemy import text
from models import db

MARK = os.environ["MARK"]

def broken():
    try:
        db.session.execute(text("SELECT CAST(:v AS int)"), {"v": MARK})
    finally:
        db.session.rollback()

app.view_functions["health.healthz"] = broken
headers = {"Authorization": f"Bearer {MARK}", "Cookie": f"a={MARK}", "X-Api-Key": MARK}
answer = app.test_client().get(f"/healthz?q={MARK}", headers=headers, data=MARK)
assert answer.status_code == 500, answer.status_code
sentry_sdk.flush(5)
"""


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[str]]]:
    """A server in Sentry's place: its DSN, and what it is told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            told.append((gzip.decompress(body) if packed else body).decode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks for itself."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://public@127.0.0.1:{server.server_port}/1", told
        server.shutdown()
        serving.join()


def test_a_fault_is_reported_without_what_was_sent(
    migrated: Flask, sentry: tuple[str, list[str]]
) -> None:
    dsn, told = sentry

    status, output = run(
        *(sys.executable, "-c", PROGRAM), SENTRY_DSN=dsn, HEROKU_RELEASE_VERSION="v7", MARK=MARK
    )

    assert status == 0, output
    report = "".join(told)
    assert "InvalidTextRepresentation" in report
    assert '"release":"v7"' in report.replace(" ", "")
    assert "broken" in report
    assert MARK not in report


def test_without_an_address_it_is_not_even_loaded() -> None:
    program = "import sys, wsgi; sys.exit('sentry_sdk' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
