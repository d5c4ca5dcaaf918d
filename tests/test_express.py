"""Reads ahead of Flask: the same answers as through it, one query each, nothing done twice."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg2 import OperationalError as DriverError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from werkzeug.test import Client, TestResponse

from api import express, pages
from models import db
from tests.stage import ADMIN, created
from tests.statements import statements

URL = "/api/v1/products"
MOST_KEPT = pages._MOST_KEPT_BYTES

PLAIN = [
    "", "?limit=2", "?status=active", "?q=tee", "?sort=-price&include=count", "?fields=id,name",
    "?vendor=Nobody", "?q=teee", "/tee", f"/{quote('thé ™')}", "/tee?fields=handle", "/batch",
]  # fmt: skip
UNUSUAL = [
    "/none", "/tee/", "?limit=0", "?unknown=1", "?cursor=forged", "?limit=1&limit=2", "/%FF",
    "?q=%FF", "/999999999999999999999999", "//tee", "/draft",
]  # fmt: skip


@pytest.fixture
def products(admin: FlaskClient) -> list[Any]:
    """Some products; without a key the draft among them is not seen."""
    pages._kept.clear()
    named = ["tee", "thé ™", "batch", "mug"]
    active = [created(admin, handle=handle, price="5.00") for handle in named]
    return [*active, created(admin, handle="draft", status="draft")]


@pytest.fixture
def through_flask(app: Flask) -> Client:
    """A client that Flask alone answers."""
    assert isinstance(app.wsgi_app, express.Express)
    return Client(app.wsgi_app._flask, TestResponse)


@pytest.fixture
def flasks_share(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were left to Flask."""
    assert isinstance(app.wsgi_app, express.Express)
    passed: list[str] = []
    flask = app.wsgi_app._flask

    def noting(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        passed.append(environ["PATH_INFO"])
        return flask(environ, start)

    monkeypatch.setattr(app.wsgi_app, "_flask", noting)
    return passed


def told(answer: TestResponse) -> tuple[int, dict[str, str], Any]:
    """All of an answer but what every request has for itself."""
    headers = {name: value for name, value in answer.headers if name != "X-Request-ID"}
    if answer.mimetype == "application/problem+json":
        del headers["Content-Length"]
        return answer.status_code, headers, {**(answer.get_json() or {}), "request_id": ""}
    return answer.status_code, headers, answer.get_data()


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("headers", [{}, ADMIN], ids=["visitor", "key"])
@pytest.mark.parametrize("asked", [*PLAIN, *UNUSUAL])
def test_either_way_the_answer_is_the_same(
    client: FlaskClient, through_flask: Client, headers: dict[str, str], asked: str
) -> None:
    slow = through_flask.get(URL + asked, headers=headers)
    for _ in range(2):  # the second time, it may be one that was kept
        fast = client.get(URL + asked, headers=headers)

        assert told(fast) == told(slow)
        assert fast.status == slow.status


@pytest.mark.parametrize("headers", [{}, ADMIN], ids=["visitor", "key"])
@pytest.mark.parametrize("sku", ["A", "A%20B", "Ä", "A/B", "none", "TWICE", "A?x=1", "/A", "A/"])
def test_either_way_a_variant_is_the_same(
    admin: FlaskClient,
    client: FlaskClient,
    through_flask: Client,
    headers: dict[str, str],
    sku: str,
) -> None:
    for each in ("A", "A B", "Ä", "A/B", "TWICE", "TWICE"):
        created(admin, sku=each)
    for sent in ({}, {"If-None-Match": '"other"'}, {"If-None-Match": "*"}):
        fast, slow = (
            way.get(f"/api/v1/variants/{sku}", headers={**headers, **sent})
            for way in (client, through_flask)
        )

        assert told(fast) == told(slow)


def test_a_variant_by_a_sku_without_slashes_does_without_flask(
    admin: FlaskClient, flasks_share: list[str]
) -> None:
    for sku in ("A B", "A/B"):
        created(admin, sku=sku)
    flasks_share.clear()

    answers = [admin.get(f"/api/v1/variants/{sku}") for sku in ("A%20B", "A%2FB")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert flasks_share == ["/api/v1/variants/A/B"]


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("asked", PLAIN)
@pytest.mark.parametrize("sent", ["{}", "W/{}", '"other", {}', "*", '"other"', "nonsense"])
def test_either_way_etags_mean_the_same(
    client: FlaskClient, through_flask: Client, asked: str, sent: str
) -> None:
    etag = client.get(URL + asked).headers["ETag"]
    headers = {"If-None-Match": sent.format(etag)}

    fast, slow = (way.get(URL + asked, headers=headers) for way in (client, through_flask))

    assert told(fast) == told(slow)
    assert fast.status_code == (200 if sent in ('"other"', "nonsense") else 304)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize(("host", "status"), [
    ("shop.example", 200), ("shop.example:8443", 200), ("[::1]:5000", 200), ("", 200),
    ("a b", 400), ("[::1", 400), ("é", 400), ("a/b", 400), ("<script>", 400), ("x" * 300, 400),
    ("a@b", 400), ("shop.example:port", 400),
])  # fmt: skip
def test_either_way_a_host_that_is_none_is_refused(
    client: FlaskClient, through_flask: Client, host: str, status: int
) -> None:
    for path in (URL, f"{URL}/tee", "/healthz"):
        asked = {"path": path, "environ_overrides": {"HTTP_HOST": host}}
        fast, slow = (way.get(**asked) for way in (client, through_flask))

        assert told(fast) == told(slow)
        assert fast.status_code == status, fast.text
        assert fast.headers["X-Request-ID"]


@pytest.mark.usefixtures("products")
def test_plain_reads_do_without_flask(client: FlaskClient, flasks_share: list[str]) -> None:
    answers = [client.get(URL + asked) for asked in PLAIN]

    assert {answer.status_code for answer in answers} == {200}
    assert flasks_share == []


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize(("method", "path"), [
    ("HEAD", f"{URL}/tee"), ("OPTIONS", URL), ("GET", f"{URL}/none"), ("GET", "/healthz"),
    ("GET", "/api/v1/variants/A"), ("DELETE", f"{URL}/tee"),
])  # fmt: skip
def test_the_rest_is_flasks(
    client: FlaskClient, flasks_share: list[str], method: str, path: str
) -> None:
    client.open(path, method=method)

    assert flasks_share == [path]


def test_a_key_is_looked_up_by_flask_and_then_remembered(
    admin: FlaskClient, client: FlaskClient, flasks_share: list[str]
) -> None:
    key = admin.post("/api/v1/keys", json={"name": "k", "scopes": ["products:read"]}).get_json()
    headers = {"Authorization": f"Bearer {key['key']}"}
    flasks_share.clear()

    answers = [client.get(URL, headers=headers) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert flasks_share == [URL]


def test_what_is_not_there_is_looked_for_once(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), statements() as sent:
        answer = client.get(f"{URL}/none", headers={"X-Request-ID": "mine"})

    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"] == answer.get_json()["request_id"] == "mine"
    assert len(sent) == 1


def test_a_database_that_is_away_is_asked_once(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(*_: Any, **__: Any) -> None:
        asked.append(1)
        raise OperationalError("connect", None, DriverError())

    monkeypatch.setattr("catalog.listing.fetch", away)

    answer = client.get(URL)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert asked == [1]


def test_a_line_in_the_log_tells_of_each(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.get(URL, headers={"X-Request-ID": "mine"})

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("level=info logger=api.context request_id=mine msg=request ")
    assert f" method=GET route={URL} status=200 ms=" in line
    assert line.endswith(" queries=1")


# --- pages that are kept ----------------------------------------------------------------------


def rename(product_id: int) -> None:
    """Change a product as another process would."""
    _execute(
        "UPDATE products SET version = version + 1, document = '{}' WHERE id = :id", product_id
    )


def hide(product_id: int) -> None:
    """Delete a product as another process would."""
    _execute("UPDATE products SET deleted_at = now() WHERE id = :id", product_id)


def render(product_id: int) -> None:
    """Show a product in another shape, as the next release would."""
    _execute("UPDATE products SET document_shape = 1, document = '{}' WHERE id = :id", product_id)


def _execute(sql: str, product_id: int) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(sql), {"id": product_id})


@pytest.mark.parametrize("change", [rename, hide, render])
@pytest.mark.parametrize("asked", ["", "?sort=price", "?q=tee"])
def test_a_kept_page_shows_what_others_have_changed(
    app: Flask, client: FlaskClient, products: list[Any], change: Callable[[int], None], asked: str
) -> None:
    before = client.get(URL + asked)
    assert client.get(URL + asked).get_data() == before.get_data()

    with app.app_context():
        change(products[0]["id"])
    after = client.get(URL + asked)

    assert after.get_data() != before.get_data()
    assert after.headers["ETag"] != before.headers["ETag"]
    assert client.get(URL + asked).get_data() == after.get_data()


def test_a_kept_page_of_which_nothing_is_left_is_forgotten(
    app: Flask, client: FlaskClient, products: list[Any]
) -> None:
    asked = f"{URL}?handle=tee"
    client.get(asked)
    with app.app_context():
        hide(products[0]["id"])
    assert client.get(asked).get_json()["data"] == []

    with app.app_context(), statements() as sent:
        client.get(asked)

    assert len(sent) == 1


@pytest.mark.usefixtures("products")
def test_a_kept_page_shows_new_neighbours_and_counts(admin: FlaskClient) -> None:
    first = f"{URL}?limit=5&include=count"
    before = [admin.get(first).get_json() for _ in range(2)]
    created(admin, handle="new")
    after = admin.get(first).get_json()

    assert [(page["count"], page["next"]) for page in before] == [(5, None), (5, None)]
    assert (after["count"], after["next"] is None) == (6, False)


@pytest.mark.usefixtures("products")
def test_a_kept_page_costs_one_statement_without_documents(app: Flask, client: FlaskClient) -> None:
    client.get(URL)

    with app.app_context(), statements() as sent:
        client.get(URL)

    (statement,) = (each for each in sent if "PREPARE" not in each.sql)
    assert statement.autocommit
    with app.app_context(), db.engine.connect() as connection:
        driver: Any = connection.connection.cursor()
        driver.execute(statement.sql, statement.params)
        assert [column.name for column in driver.description][-1] == "document"
        assert {row[-1] for row in driver.fetchall()} == {None}


def test_visitors_are_not_shown_what_was_kept_for_a_key(
    admin: FlaskClient, client: FlaskClient, products: list[Any]
) -> None:
    assert len(admin.get(URL).get_json()["data"]) == len(products)

    assert len(client.get(URL).get_json()["data"]) == len(products) - 1


def test_links_lead_to_the_host_that_was_asked(client: FlaskClient, products: list[Any]) -> None:
    hosts = [f"{name}.example" for name in ("one", "two")]

    found = [client.get(f"{URL}?limit=1", headers={"Host": host}).get_json() for host in hosts]

    assert [page["next"].split("/")[2] for page in found] == hosts


def test_a_page_that_is_large_is_not_kept(admin: FlaskClient, client: FlaskClient) -> None:
    pages._kept.clear()
    created(admin, handle="large", description="x" * MOST_KEPT)

    assert client.get(URL).status_code == 200

    assert len(pages._kept) == 0


def test_an_answer_that_was_patched_is_seen_at_once(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee")
    for name in ("One", "Two"):
        admin.get(URL)
        admin.patch(f"{URL}/{tee['id']}", json={"name": name})

        assert admin.get(URL).get_json()["data"][0]["name"] == name
