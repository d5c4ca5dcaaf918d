"""Fixtures: the app, its database emptied for each test, a client, and real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from config import settings
from jobs import queue
from models import db
from tests.processes import Web, Worker
from wsgi import app as pushcart

ADMIN = {"Authorization": f"Bearer {settings.admin_api_key}"}
WAKEUPS = f"celery\x06\x16{queue.PRIORITY}"  # kombu's name for the list in Redis
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_EMPTIED = (
    *("products", "vocabulary", "variants", "stock_movements", "orders", "order_lines", "jobs"),
    *("job_errors", "files", "file_chunks", "events", "mails", "webhooks", "webhook_deliveries"),
)
_BULKY_BYTES = 4 * 1024 * 1024


@pytest.fixture(scope="session")
def migrated() -> Flask:
    """The app, on a database with every migration applied."""
    with pushcart.app_context():
        upgrade(directory=str(Path(pushcart.root_path) / "migrations"))
    return pushcart


@pytest.fixture
def app(migrated: Flask) -> Flask:
    """The app on empty tables. Ids go on: a late message of another test finds no job of its id."""
    with migrated.app_context():
        _empty(db.session())
    return migrated


def _empty(session: Session) -> None:
    """Leave no row in any table: by DELETE, which is sixty times as fast where there are few."""
    bytes_of = "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(:tables) AS name"
    if session.scalar(text(bytes_of), {"tables": [*_EMPTIED]}) > _BULKY_BYTES:
        session.execute(text(f"TRUNCATE {', '.join(_EMPTIED)}"))
    else:
        # A table at a time, without looking at the others and without events.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("; ".join(f"DELETE FROM {table}" for table in _EMPTIED)))  # noqa: S608
    session.commit()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor without a key."""
    return app.test_client()


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    """A client that sends the key with every scope."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = ADMIN["Authorization"]
    return client


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """A session inside the app's context, for tests of the services themselves."""
    with app.app_context():
        yield db.session()
        db.session.rollback()


@pytest.fixture(scope="module")
def worker(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A real Celery worker, for all tests of a module."""
    with Worker(tmp_path_factory.mktemp("worker")) as running:
        yield running


@pytest.fixture(scope="module")
def web(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A real gunicorn, for all tests of a module."""
    with Web(tmp_path_factory.mktemp("web")) as running:
        yield running


def created(admin: FlaskClient, **fields: Any) -> dict[str, Any]:
    """A product that the API has created from these fields."""
    response = admin.post("/api/v1/products", json={"name": "Espresso", **fields})
    assert response.status_code == 201, response.text
    product: dict[str, Any] = response.get_json()
    return product


def faults_of(response: TestResponse) -> list[tuple[str, str | None]]:
    """The code and the place of each fault of a problem."""
    errors = response.get_json()["errors"]
    return [(fault["code"], fault.get("pointer", fault.get("parameter"))) for fault in errors]
