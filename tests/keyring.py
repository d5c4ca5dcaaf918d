"""Keys for the tests: made by the API, and sent by a client of their own."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from models import db

KEYS = "/api/v1/keys"


def made_key(admin: FlaskClient, *scopes: str, **fields: Any) -> dict[str, Any]:
    """A key as the API answers it when it is made."""
    response = admin.post(KEYS, json={"name": "Till", "scopes": list(scopes), **fields})
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.get_json()
    return key


def bearer(key: dict[str, Any]) -> dict[str, str]:
    """The header that sends a key."""
    return {"Authorization": f"Bearer {key['key']}"}


def forged() -> dict[str, str]:
    """The header of a key that was never made; another one each time."""
    return {"Authorization": f"Bearer pushcart_{secrets.token_hex(4)}_{'0' * 64}"}


def client_with(app: Flask, key: dict[str, Any]) -> FlaskClient:
    """A client that sends a key with each request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer(key)["Authorization"]
    return client


def later(**length: float) -> str:
    """A time that far from now, as clients write it."""
    return (datetime.now(UTC) + timedelta(**length)).isoformat()


def sql(app: Flask, statement: str, **values: Any) -> list[Any]:
    """The rows of a statement that is committed behind the app's back."""
    with app.app_context(), db.engine.begin() as connection:
        result = connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []
