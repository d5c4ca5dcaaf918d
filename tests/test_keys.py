"""Keys: what each opens, until when, and what it costs to find out."""

import hmac
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from access import recognition
from access.memory import Memory
from api.auth import SCOPES
from api.operations import Operation
from config import settings
from models import db
from tests.keyring import KEYS, bearer, client_with, forged, later, made_key, sql
from tests.processes import Web
from tests.stage import ADMIN, created
from tests.statements import statements
from tests.test_health import LivingWeb
from wsgi import app as pushcart

PRODUCTS = "/api/v1/products"


@pytest.fixture(autouse=True)
def _no_keys(app: Flask) -> None:
    sql(app, "TRUNCATE api_keys")


# --- what a key opens -------------------------------------------------------------------------


def scoped() -> Iterator[Any]:
    """Every method of every address that asks for a scope."""
    for rule in pushcart.url_map.iter_rules():
        view = pushcart.view_functions[rule.endpoint]
        if isinstance(view, Operation) and view.scope is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield pytest.param(rule, method, view, id=f"{method} {rule.rule}")


def address(rule: Rule) -> str:
    """An address of the rule, at which nothing lives."""
    return str(rule.build(dict.fromkeys(rule.arguments, 0), append_unknown=False)[1])  # type: ignore[index]


@pytest.mark.parametrize(("rule", "method", "view"), [*scoped()])
def test_a_key_with_the_scope_alone_is_let_in(
    app: Flask, admin: FlaskClient, rule: Rule, method: str, view: Operation
) -> None:
    client = client_with(app, made_key(admin, str(view.scope)))

    response = client.open(address(rule), method=method)

    assert response.status_code not in (401, 403), response.text


@pytest.mark.parametrize(("rule", "method", "view"), [*scoped()])
def test_a_key_with_every_other_scope_is_not(
    app: Flask,
    admin: FlaskClient,
    rule: Rule,
    method: str,
    view: Operation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.auth.settings", replace(settings, public_reads=False))
    client = client_with(app, made_key(admin, *sorted(SCOPES - {view.scope})))

    response = client.open(address(rule), method=method)

    assert (response.status_code, response.get_json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("scopes", [None, ["jobs:read"], ["products:write"]])
def test_only_who_may_read_products_sees_drafts(
    app: Flask, admin: FlaskClient, scopes: list[str] | None
) -> None:
    created(admin, handle="tee")
    created(admin, handle="mug", status="draft")
    client = client_with(app, made_key(admin, *scopes)) if scopes else app.test_client()
    reader = client_with(app, made_key(admin, "products:read"))

    assert [p["handle"] for p in client.get(PRODUCTS).get_json()["data"]] == ["tee"]
    assert client.get(f"{PRODUCTS}/mug").status_code == 404
    assert [p["handle"] for p in reader.get(PRODUCTS).get_json()["data"]] == ["tee", "mug"]
    assert reader.get(f"{PRODUCTS}/mug").status_code == 200


def test_without_public_reads_the_scope_is_needed(
    app: Flask, admin: FlaskClient, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = client_with(app, made_key(admin, "products:read"))
    other = client_with(app, made_key(admin, "jobs:read"))
    monkeypatch.setattr("api.auth.settings", replace(settings, public_reads=False))

    assert client.get(PRODUCTS).get_json()["code"] == "key_missing"
    assert other.get(PRODUCTS).get_json()["code"] == "scope_missing"
    assert reader.get(PRODUCTS).status_code == 200


def test_a_job_knows_the_key_that_caused_it(app: Flask, admin: FlaskClient) -> None:
    key = made_key(admin, "products:write")

    client_with(app, key).post("/api/v1/imports", data=b"handle\n", content_type="text/csv")

    assert sql(app, "SELECT caller ->> 'key_id' FROM jobs") == [(str(key["id"]),)]


# --- which keys open anything -----------------------------------------------------------------


def test_a_revoked_key_opens_nothing_at_once(app: Flask, admin: FlaskClient) -> None:
    key = made_key(admin, "products:read")
    client = client_with(app, key)
    before = client.get(PRODUCTS)

    revoked = admin.delete(f"{KEYS}/{key['id']}")
    after = client.get(PRODUCTS)

    assert (before.status_code, revoked.status_code) == (200, 204)
    assert (after.status_code, after.get_json()["code"]) == (401, "key_revoked")
    assert after.headers["WWW-Authenticate"] == 'Bearer realm="pushcart"'


def test_a_key_revoked_elsewhere_opens_nothing_a_second_later(
    app: Flask, admin: FlaskClient
) -> None:
    key = made_key(admin, "products:read")
    client = client_with(app, key)
    client.get(PRODUCTS)

    sql(app, "UPDATE api_keys SET revoked_at = now()")
    time.sleep(1)

    assert client.get(PRODUCTS).get_json()["code"] == "key_revoked"


def test_what_was_being_read_during_a_revocation_is_not_remembered(
    app: Flask, admin: FlaskClient
) -> None:
    key = made_key(admin, "products:read")
    client = client_with(app, key)
    revocations: list[int] = []

    def revoke(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM api_keys" in statement and statement.startswith("SELECT") and not revocations:
            revocations.append(1)
            revocations.append(admin.delete(f"{KEYS}/{key['id']}").status_code)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "after_cursor_execute", revoke)
    try:
        during = client.get(PRODUCTS)
    finally:
        event.remove(engine, "after_cursor_execute", revoke)

    assert revocations == [1, 204]
    assert during.status_code == 200
    assert client.get(PRODUCTS).get_json()["code"] == "key_revoked"


def test_a_revocation_reaches_every_process_within_about_a_second(
    admin: FlaskClient, tmp_path: Path
) -> None:
    key = made_key(admin, "products:read", "keys:write")
    fresh = httpx.Limits(max_keepalive_connections=0)  # for a connection, any process may do
    with Web(tmp_path, WEB_CONCURRENCY="2") as web, httpx.Client(limits=fresh) as client:
        url = f"{web.url}{PRODUCTS}"
        before = {client.get(url, headers=bearer(key)).status_code for _ in range(20)}

        client.delete(f"{web.url}{KEYS}/{key['id']}", headers=ADMIN)
        time.sleep(1.1)

        after = {client.get(url, headers=bearer(key)).status_code for _ in range(20)}
    assert (before, after) == ({200}, {401})


def test_an_expired_key_says_so(app: Flask, admin: FlaskClient) -> None:
    client = client_with(app, made_key(admin, "products:read", expires_at=later(seconds=0.3)))
    before = client.get(PRODUCTS)

    time.sleep(0.4)  # the process still remembers it
    after = client.get(PRODUCTS)

    assert before.status_code == 200
    assert (after.status_code, after.get_json()["code"]) == (401, "key_expired")


@pytest.mark.parametrize("state", ["revoked_at", "expires_at", "created_at"])
def test_without_the_secret_nothing_is_learned_of_a_key(
    app: Flask, admin: FlaskClient, client: FlaskClient, state: str
) -> None:
    prefix = made_key(admin, "products:read")["prefix"]
    sql(app, f"UPDATE api_keys SET {state} = now()")  # noqa: S608  # ours

    wrong = client.get(PRODUCTS, headers={"Authorization": f"Bearer {prefix}_{'0' * 64}"})
    unknown = client.get(PRODUCTS, headers=forged())

    assert wrong.status_code == unknown.status_code == 401
    assert {**wrong.get_json(), "request_id": 0} == {**unknown.get_json(), "request_id": 0}
    assert wrong.get_json()["code"] == "key_unknown"


@pytest.mark.parametrize(
    "mangle",
    [str.upper, lambda key: key[:-1], lambda key: f"{key}0", lambda key: key.replace("_", "-"),
     lambda key: key.split("_", 2)[2], lambda key: f"{key}\0", lambda key: f"x{key}"],
)  # fmt: skip
def test_a_key_is_taken_whole_or_not_at_all(
    admin: FlaskClient, client: FlaskClient, mangle: Any
) -> None:
    sent = mangle(made_key(admin, "products:read")["key"])

    response = client.get(PRODUCTS, environ_base={"HTTP_AUTHORIZATION": f"Bearer {sent}"})

    assert response.get_json()["code"] == "key_unknown"


def test_refusing_is_the_same_work_whatever_was_known(
    admin: FlaskClient, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = made_key(admin, "products:read")["prefix"]
    work: list[int] = []
    compare = hmac.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        work.append(len(a))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    seen = []
    for sent in (f"{prefix}_{'0' * 64}", forged()["Authorization"].split()[1]):
        for _ in range(2):  # the first time the database is asked, the second time it is not
            work.clear()
            client.get(PRODUCTS, headers={"Authorization": f"Bearer {sent}"})
            seen.append(tuple(work))

    # Looked at ahead of Flask, by what memory knows, and then again.
    assert set(seen[0::2]) == {(32, 32, 32, 32, 32)}
    assert set(seen[1::2]) == {(32, 32, 32, 32)}


# --- what it costs ----------------------------------------------------------------------------


def test_a_read_with_a_known_key_is_one_statement(app: Flask, admin: FlaskClient) -> None:
    client = client_with(app, made_key(admin, "products:read"))
    client.get(PRODUCTS)

    with app.app_context(), statements() as sent:
        client.get(PRODUCTS)

    # Each connection of the pool prepares the statement when it meets it for the first time.
    (statement,) = (each for each in sent if not each.sql.startswith("PREPARE"))
    assert "api_keys" not in statement.sql
    assert statement.autocommit


def test_an_unknown_key_is_asked_for_once(app: Flask, client: FlaskClient) -> None:
    headers = forged()

    with app.app_context(), statements() as sent:
        for _ in range(5):
            client.get(PRODUCTS, headers=headers)

    assert len(sent) == 1


def test_what_cannot_be_a_key_is_not_even_asked_for(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), statements() as sent:
        client.get(PRODUCTS, headers={"Authorization": "Bearer pushcart_x"})

    assert sent == []


def test_memory_forgets_the_oldest_rather_than_grow() -> None:
    memory: Memory[int] = Memory(3)

    for number in (1, 2, 3, 1, 4):
        memory.put(str(number), number)

    assert len(memory) == 3
    assert [memory.get(str(number)) for number in (1, 2, 3, 4)] == [1, None, 3, 4]


def test_last_use_is_written_once_a_minute(app: Flask, admin: FlaskClient) -> None:
    key = made_key(admin, "products:read")
    client = client_with(app, key)

    def used() -> datetime | None:
        found: datetime | None = sql(app, "SELECT last_used_at FROM api_keys")[0][0]
        return found

    assert used() is None
    client.get(PRODUCTS)
    first = used()
    time.sleep(recognition.FRESH_SECONDS)
    client.get(PRODUCTS)
    second = used()
    sql(app, "UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    time.sleep(recognition.FRESH_SECONDS)
    client.get(PRODUCTS)
    third = used()

    assert first is not None
    assert second == first
    assert third is not None
    assert third > first


def test_of_processes_that_see_it_at_once_one_writes_the_last_use(
    app: Flask, admin: FlaskClient
) -> None:
    key = made_key(admin, "products:read")
    client_with(app, key).get(PRODUCTS)
    as_others_read_it = recognition._known.get(key["prefix"])
    first = sql(app, "SELECT last_used_at FROM api_keys")

    assert as_others_read_it is not None
    assert as_others_read_it.last_used_at is None
    with app.app_context():
        recognition._note_use(as_others_read_it)

    assert sql(app, "SELECT last_used_at FROM api_keys") == first


def test_a_refused_key_was_not_used(app: Flask, admin: FlaskClient) -> None:
    key = made_key(admin, "products:read")
    sql(app, "UPDATE api_keys SET revoked_at = now()")

    client_with(app, key).get(PRODUCTS)

    assert sql(app, "SELECT last_used_at FROM api_keys") == [(None,)]


def test_a_key_whose_row_is_locked_is_not_waited_for(
    app: Flask, admin: FlaskClient, session: Session
) -> None:
    client = client_with(app, made_key(admin, "products:read"))
    session.execute(text("SELECT 1 FROM api_keys FOR UPDATE"))

    started = time.monotonic()
    response = client.get(PRODUCTS)

    assert response.status_code == 200
    assert time.monotonic() - started < 1  # lock_timeout is 3 s


def test_a_database_without_writes_still_serves_reads(
    app: Flask, admin: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_with(app, made_key(admin, "products:read"))
    sql(app, "CREATE RULE refused AS ON UPDATE TO api_keys DO INSTEAD SELECT 1/0")
    try:
        response = client.get(PRODUCTS)
    finally:
        sql(app, "DROP RULE refused ON api_keys")

    assert response.status_code == 200
    assert "not noted" in caplog.text


def test_without_the_database_a_key_cannot_be_looked_up(tmp_path: Path) -> None:
    with LivingWeb(tmp_path, DATABASE_URL="postgresql://postgres@127.0.0.1:9/shop") as web:
        response = httpx.get(f"{web.url}{PRODUCTS}", headers=forged())

    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["Retry-After"] == "5"
