"""What every answer carries: a request id, and for every error a problem without our insides."""

import logging
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.app import create_app
from errors import Conflict
from models import db
from tests.statements import close_connection

URL = "/api/v1/products"


@pytest.fixture
def faulty(migrated: Flask) -> Iterator[FlaskClient]:
    """A client of a second app with addresses that fail."""
    app = create_app()
    statements = {"wrong": "SELECT hidden FROM nowhere", "slow": "SELECT pg_sleep(9)"}

    @app.get("/orphaned")
    def conflict_on_a_connection_that_dies() -> str:
        pid = db.session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        raise Conflict("Already.", code="order_canceled")

    @app.get("/closed")
    def use_a_connection_that_is_closed() -> str:
        close_connection(db.session())
        db.session.execute(text("SELECT 1"))
        return ""

    @app.get("/<what>")
    def fail(what: str) -> str:
        db.session.execute(text("SET LOCAL statement_timeout = 50"))
        db.session.execute(text(statements[what]))
        return what

    yield app.test_client()
    with app.app_context():
        db.engine.dispose()


def test_a_fault_of_ours_shows_nothing_of_it(faulty: FlaskClient) -> None:
    response = faulty.get("/wrong")

    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.get_json() == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500,
        "detail": "A fault of ours. It has been logged under this id.",
        "code": "internal_error", "request_id": response.headers["X-Request-ID"],
    }  # fmt: skip


def test_a_fault_of_ours_is_logged_with_its_cause(
    faulty: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    faulty.get("/wrong")

    (logged,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert logged.exc_info is not None
    assert 'relation "nowhere" does not exist' in str(logged.exc_info[1])


@pytest.mark.parametrize("path", ["/slow", "/closed"])
def test_a_statement_that_the_database_gave_up_may_be_tried_again(
    faulty: FlaskClient, path: str
) -> None:
    response = faulty.get(path)

    assert response.status_code == 503
    assert response.get_json()["code"] == "database_unavailable"
    assert response.headers["Retry-After"] == "5"
    assert "pg_sleep" not in response.text


def test_an_answer_stands_though_the_database_dies_after_it(
    faulty: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        response = faulty.get("/orphaned")
        assert response.status_code == 409
        assert response.get_json()["code"] == "order_canceled"
    assert "closed the connection" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PATCH", URL, {"GET", "HEAD", "OPTIONS", "POST"}),
     ("POST", f"{URL}/tee", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"})],
)  # fmt: skip
def test_a_wrong_method_is_told_the_right_ones(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method)

    assert response.status_code == 405
    assert allowed <= {name.strip() for name in response.headers["Allow"].split(",")}


@pytest.mark.parametrize("path", [URL, "/healthz", "/nothing/here"])
def test_a_request_id_is_taken_in_and_sent_back(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"X-Request-ID": "abc-123.DEF_4:5/6+7="})

    assert response.headers["X-Request-ID"] == "abc-123.DEF_4:5/6+7="


@pytest.mark.parametrize("sent", [None, "", "a b", "a" * 129, 'a"b', "é", "a;b", "\x01"])
def test_a_missing_or_ill_formed_request_id_is_made(client: FlaskClient, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent}

    made = {client.get(path, headers=headers).headers["X-Request-ID"] for path in (URL, "/nothing")}

    assert len(made) == 2  # one for each request
    assert sent not in made
    assert all(len(request_id) == 32 for request_id in made)
