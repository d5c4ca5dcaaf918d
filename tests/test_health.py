"""`/healthz` and `/readyz`: what they say while something is away."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from dev.services import free_port
from models import db
from tests.processes import Web


class LivingWeb(Web):
    """A gunicorn that counts as started before it is ready to serve."""

    def is_ready(self) -> bool:
        """Whether it answers at all."""
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[LivingWeb]:
    """A web process whose PostgreSQL and Redis are both away."""
    database = f"postgresql://postgres@127.0.0.1:{free_port()}/shop"
    redis = f"redis://127.0.0.1:{free_port()}/0"
    with LivingWeb(tmp_path, DATABASE_URL=database, REDIS_URL=redis) as running:
        yield running


@pytest.fixture
def migration(app: Flask) -> Iterator[None]:
    """Lets a test change which migration is applied, and puts the right one back."""
    with app.app_context():
        head = db.session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    yield
    apply(app, head)


def apply(app: Flask, revision: str) -> None:
    """Make the database believe that this is its migration."""
    with app.app_context():
        db.session.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
        db.session.commit()


def test_a_living_process_says_so(client: FlaskClient) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_a_process_with_all_it_needs_is_ready(client: FlaskClient) -> None:
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json == {"status": "ok", "postgresql": "ok", "redis": "ok"}


def test_without_its_servers_a_process_lives_and_names_what_is_away(nowhere: LivingWeb) -> None:
    alive = httpx.get(f"{nowhere.url}/healthz")
    ready = httpx.get(f"{nowhere.url}/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {
        "status": "unavailable",
        "postgresql": "does not answer, or has no tables yet",
        "redis": "does not answer",
    }


def test_without_postgresql_a_request_is_told_to_come_back(nowhere: LivingWeb) -> None:
    response = httpx.get(f"{nowhere.url}/api/v1/products")

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "database_unavailable"
    assert response.headers["Retry-After"] == "5"
    assert "psycopg2" not in response.text
    assert "127.0.0.1" not in response.text


@pytest.mark.usefixtures("migration")
def test_a_database_behind_the_code_is_not_ready(app: Flask, client: FlaskClient) -> None:
    apply(app, "0001")

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json == {
        "status": "unavailable", "postgresql": "migrations are missing", "redis": "ok"
    }  # fmt: skip


@pytest.mark.usefixtures("migration")
def test_a_database_ahead_of_the_code_serves_it(app: Flask, client: FlaskClient) -> None:
    apply(app, "of a later release")

    assert client.get("/readyz").status_code == 200
