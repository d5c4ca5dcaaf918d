"""`/api/v1/keys` and `flask keys`: how keys are made, listed and ended, shown but once."""

import logging
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import KEY_SCOPES
from tests.keyring import KEYS, client_with, later, made_key, sql
from tests.processes import BIN
from tests.test_config import run
from tests.test_products import first_fault

PRODUCTS = "/api/v1/products"


@pytest.fixture(autouse=True)
def _no_keys(app: Flask) -> None:
    sql(app, "TRUNCATE api_keys")


# --- making keys ------------------------------------------------------------------------------


def test_a_key_is_shown_once(admin: FlaskClient) -> None:
    response = admin.post(
        KEYS,
        json={"name": " Till 1 ", "scopes": ["jobs:read", "products:read", "jobs:read"]},
        base_url="https://shop.example",
    )

    key = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"https://shop.example{KEYS}/{key['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    shown = key.pop("key")
    assert shown.startswith(f"{key['prefix']}_")
    assert len(shown) == len("pushcart_12345678_") + 64
    assert key == {
        "id": key["id"], "prefix": shown[:17], "name": "Till 1",
        "scopes": ["jobs:read", "products:read"], "created_by": "admin",
        "created_at": key["created_at"], "expires_at": None, "last_used_at": None,
        "revoked_at": None,
    }  # fmt: skip
    assert admin.get(response.headers["Location"]).get_json() == key
    assert shown not in admin.get(KEYS).text


def test_no_secret_is_stored_or_logged(
    app: Flask, admin: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    once = {"Idempotency-Key": "make one"}
    body = {"name": "Till", "scopes": ["products:write", "keys:write"]}
    key = admin.post(KEYS, json=body, headers=once).get_json()["key"]
    client = app.test_client()
    headers = {"Authorization": f"Bearer {key}"}
    client.post(PRODUCTS, json={"name": "Tee"}, headers={**headers, **once})
    client.post("/api/v1/imports", data=b"x", content_type="text/csv", headers=headers)
    client.get(f"{KEYS}/0", headers=headers)

    secret = key.rpartition("_")[2]
    tables = [row[0] for row in sql(app, "SELECT tablename FROM pg_tables"
                                    " WHERE schemaname = 'public'")]  # fmt: skip
    for form in (secret, secret.encode().hex()):  # bytes are shown in hexadecimal digits
        for table in tables:
            found = sql(app, f"SELECT 1 FROM {table} t WHERE t::text LIKE '%{form}%'")  # noqa: S608
            assert found == [], table
    assert "api_keys" in tables
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": " "}, ("blank", "/name")),
        ({"name": None}, ("required", "/name")),
        ({"scopes": []}, ("required", "/scopes")),
        ({"scopes": "products:read"}, ("invalid_type", "/scopes")),
        ({"scopes": ["products:read", "products:*"]}, ("not_a_choice", "/scopes/1")),
        ({"scopes": ["jobs:read"] * (len(KEY_SCOPES) + 1)}, ("too_many", "/scopes")),
        ({"expires_at": "tomorrow"}, ("not_a_time", "/expires_at")),
        ({"expires_at": 1}, ("not_text", "/expires_at")),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ("in_the_past", "/expires_at")),
        ({"id": 1}, ("unknown_field", "/id")),
        ({"key": "x"}, ("unknown_field", "/key")),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named(
    admin: FlaskClient, fields: dict[str, Any], fault: tuple[str, str]
) -> None:
    response = admin.post(KEYS, json={"name": "Till", "scopes": ["jobs:read"], **fields})

    assert (response.status_code, first_fault(response)) == (422, fault)


def test_a_key_hands_on_no_scope_that_it_lacks(app: Flask, admin: FlaskClient) -> None:
    client = client_with(app, made_key(admin, "keys:write", "products:read"))

    response = client.post(
        KEYS, json={"name": "More", "scopes": ["products:read", "products:write", "jobs:read"]}
    )

    assert (response.status_code, response.get_json()["code"]) == (403, "scope_beyond_key")
    pointers = [fault["pointer"] for fault in response.get_json()["errors"]]
    assert pointers == ["/scopes/1", "/scopes/2"]
    assert len(sql(app, "SELECT 1 FROM api_keys")) == 1


@pytest.mark.parametrize("expires_at", [None, later(days=3)], ids=["never", "later"])
def test_a_key_hands_on_no_life_longer_than_its_own(
    app: Flask, admin: FlaskClient, expires_at: str | None
) -> None:
    maker = made_key(admin, "keys:write", expires_at=later(days=2))
    client = client_with(app, maker)

    longer = client.post(
        KEYS, json={"name": "x", "scopes": ["keys:write"], "expires_at": expires_at}
    )
    shorter = made_key(client, "keys:write", expires_at=later(days=1))

    assert (longer.status_code, first_fault(longer)) == (403, ("outlives_key", "/expires_at"))
    assert shorter["created_by"] == str(maker["id"])


# --- listing and revoking ---------------------------------------------------------------------


def test_keys_are_listed_page_by_page_in_both_directions(admin: FlaskClient) -> None:
    ids = [made_key(admin, "jobs:read")["id"] for _ in range(5)]

    first = admin.get(KEYS, query_string={"limit": 2}).get_json()
    second = admin.get(first["next"]).get_json()
    third = admin.get(second["next"]).get_json()

    seen = [[key["id"] for key in page["data"]] for page in (first, second, third)]
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    assert third["next"] is None
    assert admin.get(third["prev"]).get_json()["data"] == second["data"]
    assert all("key" not in key for key in first["data"])


def test_revoking_again_changes_nothing(admin: FlaskClient) -> None:
    url = f"{KEYS}/{made_key(admin, 'jobs:read')['id']}"

    first = admin.delete(url)
    revoked_at = admin.get(url).get_json()["revoked_at"]
    second = admin.delete(url)

    assert (first.status_code, second.status_code) == (204, 204)
    assert revoked_at is not None
    assert admin.get(url).get_json()["revoked_at"] == revoked_at


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("key_id", ["0", "9" * 18, "9" * 30])
def test_a_key_that_is_not_there_is_not_found(admin: FlaskClient, method: str, key_id: str) -> None:
    response = admin.open(f"{KEYS}/{key_id}", method=method)

    assert (response.status_code, response.get_json()["code"]) == (404, "key_not_found")


# --- the command line -------------------------------------------------------------------------


def test_a_key_made_on_the_command_line_opens_the_api(app: Flask, client: FlaskClient) -> None:
    run = app.test_cli_runner().invoke

    made = run(args=["keys", "create", "--name", "ERP", "--scope", "products:write",
                     "--scope", "keys:write", "--expires-in", "30"])  # fmt: skip
    key = made.stdout.strip()
    headers = {"Authorization": f"Bearer {key}"}
    posted = client.post(PRODUCTS, json={"name": "Tee"}, headers=headers)
    shown = client.get(KEYS, headers=headers).get_json()["data"][0]
    listed = run(args=["keys", "list"])

    assert (made.exit_code, posted.status_code, listed.exit_code) == (0, 201, 0)
    assert (shown["name"], shown["created_by"]) == ("ERP", None)
    assert shown["scopes"] == ["products:write", "keys:write"]
    assert later(days=29) < shown["expires_at"] < later(days=31)
    assert shown["prefix"] in listed.stdout
    assert "products:write,keys:write" in listed.stdout
    assert key not in listed.stdout


@pytest.mark.parametrize("named_by", ["id", "prefix", "key"])
def test_a_key_is_revoked_by_whatever_names_it(
    app: Flask, admin: FlaskClient, named_by: str
) -> None:
    key = made_key(admin, "products:read")

    revoked = app.test_cli_runner().invoke(args=["keys", "revoke", str(key[named_by])])

    assert (revoked.exit_code, key["prefix"] in revoked.stdout) == (0, True)
    assert key["key"] not in revoked.stdout
    assert admin.get(f"{KEYS}/{key['id']}").get_json()["revoked_at"]


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["revoke", "7"], 1, "There is no key 7."),
        (["revoke", "pushcart_00000000"], 1, "There is no key pushcart_00000000."),
        (["revoke", "x\0y"], 1, "There is no key"),
        (["revoke", "9" * 5000], 1, "There is no key"),
        (["revoke"], 2, "PREFIX_OR_ID"),
        (["create", "--name", " ", "--scope", "jobs:read"], 1, "/name: must not be blank"),
        (["create", "--name", "x"], 2, "--scope"),
        (["create", "--name", "x", "--scope", "all"], 2, "'all' is not one of"),
        (["create", "--name", "x", "--scope", "jobs:read", "--expires-in", "0"], 2, "0 is not in"),
    ],
)
def test_a_command_says_what_is_wrong(
    app: Flask, command: list[str], status: int, said: str
) -> None:
    result = app.test_cli_runner().invoke(args=["keys", *command])

    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert sql(app, "SELECT 1 FROM api_keys") == []


def test_a_command_without_a_database_says_so_in_a_line() -> None:
    command = (str(BIN / "flask"), "--app", "wsgi", "keys", "list")

    status, output = run(*command, DATABASE_URL="postgresql://postgres@127.0.0.1:9/shop")

    assert status == 1
    assert output.strip().endswith("Error: The database does not answer.")
    assert "Traceback" not in output
