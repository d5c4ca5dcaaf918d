"""The log: a line per request with its fields, slow ones with their query, and nobody's secrets."""

import json
import logging
import re
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import logs
from config import settings
from models import db
from tests.keyring import client_with, made_key
from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN, created

PRODUCTS = "/api/v1/products"
MARK = "hush-7f3a91"  # a secret: wherever it is put, it must not come out in the log


def fields(line: str) -> dict[str, str]:
    """A line of logfmt as its fields, quotes undone."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    return {name: value.strip('"') for name, value in pairs}


def test_a_line_tells_route_status_time_queries_and_key(
    admin: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    tee = created(admin, handle="tee")
    key = made_key(admin, "products:read")
    reader = client_with(admin.application, key)
    capsys.readouterr()

    for client in (admin, reader, reader):  # the second time, the key is known: ahead of Flask
        client.get(f"{PRODUCTS}/{tee['id']}?fields=name", headers={"X-Request-ID": "mine"})

    lines = [fields(line) for line in capsys.readouterr().err.splitlines()]
    assert {float(line.pop("ms")) < 1000 for line in lines} == {True}
    told = {
        "level": "info", "logger": "api.context", "request_id": "mine", "msg": "request",
        "method": "GET", "route": f"{PRODUCTS}/<ref>", "status": "200",
    }  # fmt: skip
    assert lines[0] == {**told, "queries": "1", "key": "admin"}
    assert lines[2] == {**told, "queries": "1", "key": str(key["id"])}
    assert int(lines[1]["queries"]) >= 2  # it was looked up


def test_a_slow_request_names_its_slowest_query_without_parameters(
    admin: FlaskClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    created(admin, handle=MARK)
    monkeypatch.setattr("api.context.settings", _slow_from(1))
    app = admin.application

    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE products IN ACCESS EXCLUSIVE MODE"))
        reading = threading.Thread(target=app.test_client().get, args=(f"{PRODUCTS}/{MARK}",))
        capsys.readouterr()
        reading.start()
        reading.join(0.2)
    reading.join()

    (line,) = capsys.readouterr().err.splitlines()
    told = fields(line)
    assert (told["level"], told["msg"]) == ("warning", "slow request")
    assert 100 < float(told["slowest_ms"]) <= float(told["ms"])
    assert "FROM products" in told["slowest_query"]
    assert MARK not in line


def _slow_from(milliseconds: int) -> Any:
    class Slow:
        slow_request_ms = milliseconds

    return Slow


@pytest.mark.usefixtures("app")
def test_an_error_of_the_database_is_told_without_its_values(admin: FlaskClient) -> None:
    created(admin, handle=MARK)
    sql = "INSERT INTO products (handle, name) VALUES (:handle, 'x')"
    with admin.application.app_context():
        with pytest.raises(DBAPIError) as refused:
            db.session.execute(text(sql), {"handle": MARK})
        db.session.rollback()
    assert MARK in str(refused.value)  # PostgreSQL quotes it

    error = refused.value
    told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "as %s", (error,), told)
    shown = logs._Formatter().format(record)

    assert MARK not in shown
    assert 'msg="as UniqueViolation (23505)"' in shown
    assert "Traceback" in shown


def test_a_job_has_a_line_with_the_id_of_the_request_that_caused_it(
    admin: FlaskClient, worker: Worker
) -> None:
    job = admin.post(
        "/api/v1/imports",
        data=f"handle,name\ntee,{MARK}\n",
        headers={"X-Request-ID": "mine", "Content-Type": "text/csv"},
    ).get_json()

    line = wait_for("its line", lambda: re.search(r".* msg=job .*", worker.output()))[0]

    told = fields(line)
    assert float(told.pop("ms")) > 0
    assert int(told.pop("queries")) > 1
    assert told == {
        "level": "info", "logger": "jobs.running", "request_id": "mine", "msg": "job",
        "job": str(job["id"]), "kind": "import", "attempt": "1", "status": "succeeded",
        "key": "admin",
    }  # fmt: skip
    assert MARK not in worker.output()


@pytest.mark.usefixtures("migrated")
def test_as_json_each_line_is_an_object(tmp_path: Path) -> None:
    with Web(tmp_path, LOG_FORMAT="json") as web:
        httpx.get(web.url + PRODUCTS, headers={"X-Request-ID": "mine", **ADMIN})
        lines = [line for line in web.output().splitlines() if '"mine"' in line]

    (told,) = map(json.loads, lines)
    assert told.pop("ms") > 0
    assert told.pop("queries") >= 1
    assert told == {
        "level": "info", "logger": "api.context", "request_id": "mine", "msg": "request",
        "method": "GET", "route": PRODUCTS, "status": 200, "key": "admin",
    }  # fmt: skip


@pytest.mark.usefixtures("app")
def test_nothing_that_was_sent_in_header_query_or_body_is_logged(tmp_path: Path) -> None:
    """On Heroku, gunicorn is told to write a line of its own as well."""
    with Web(tmp_path, GUNICORN_CMD_ARGS="--access-logfile -", LOG_LEVEL="DEBUG") as web:
        bearer = {"Authorization": f"Bearer {MARK}"}
        asked = [
            httpx.get(f"{web.url}{PRODUCTS}?q={MARK}", headers={**bearer, "X-Api-Key": MARK}),
            httpx.get(f"{web.url}{PRODUCTS}?{MARK}=1", headers={"Referer": MARK}),
            httpx.get(f"{web.url}{PRODUCTS}?cursor={MARK}", headers={"User-Agent": MARK}),
            *(
                httpx.post(web.url + PRODUCTS, json=body, headers=ADMIN)
                for body in ({"name": MARK, "handle": MARK}, {MARK: 1}, {"name": MARK})
            ),
            httpx.post(web.url + PRODUCTS, content=MARK, headers=ADMIN),
            httpx.post(
                f"{web.url}/api/v1/imports",
                content=f"name,price\n{MARK},{MARK}\n",
                headers={**ADMIN, "Content-Type": "text/csv", "Idempotency-Key": MARK},
            ),
        ]
        broken = [
            sent(web, f"GET / HTTP/1.1\r\nAuthorization : Bearer {MARK}\r\n\r\n"),
            sent(web, f"GET / HTTP/1.1\r\nHost: a\r\nX: {MARK}\0\r\n\r\n"),
            sent(web, f"GET /?{MARK} {MARK} HTTP/1.1\r\n\r\n"),
            sent(web, f"GET /?{MARK} HTTP/{MARK}\r\n\r\n"),
            sent(web, f"GET / HTTP/1.1\r\nHost: a\r\n {MARK}\r\n\r\n"),
            sent(web, f"{MARK}\r\n\r\n"),
        ]
        log = web.output()

    statuses = [answer.status_code for answer in asked]
    assert statuses == [401, 400, 400, 201, 422, 201, 415, 202]
    assert all(" 400 " in answer.split("\r\n")[0] for answer in broken), broken
    assert log.count("msg=request") >= len(asked)
    assert MARK not in log
    assert settings.admin_api_key not in log
    assert '"GET /' not in log  # gunicorn's own line


def sent(web: Web, request: str) -> str:
    """What the server answers to these bytes."""
    address = urlsplit(web.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), 10) as client:
        client.sendall(request.encode())
        return client.recv(65536).decode()
