"""A request holds one connection at a time: requests that hold one never wait for each other."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from catalog.tasks import import_catalogue
from jobs import queue
from models import db
from tests.ordering import ORDERS, for_sale, placed


@contextmanager
def most_connections(app: Flask) -> Iterator[list[int]]:
    """How many connections of the pool were held at once in the block, each time one was taken."""
    held: set[int] = set()
    counts: list[int] = []

    def taken(connection: Any, *_: object) -> None:
        held.add(id(connection))
        counts.append(len(held))

    def given_back(connection: Any, *_: object) -> None:
        held.discard(id(connection))

    with app.app_context():
        pool = db.engine.pool
    event.listen(pool, "checkout", taken)
    event.listen(pool, "checkin", given_back)
    try:
        yield counts
    finally:
        event.remove(pool, "checkout", taken)
        event.remove(pool, "checkin", given_back)


@pytest.fixture
def addresses(admin: FlaskClient, session: Session) -> dict[str, str]:
    """What is posted to, by a name for it."""
    for_sale(admin, sku="A", stock=9)
    orders = [placed(admin, {"sku": "A", "quantity": 1})["id"] for _ in range(2)]
    admin.post(f"{ORDERS}/{orders[1]}/cancel")
    job = queue.enqueue(session, import_catalogue, "import")
    job.status, job.finished_at = "succeeded", func.now()
    waiting = queue.enqueue(session, import_catalogue, "import")
    ids = {"done": job.id, "waiting": waiting.id}
    session.commit()
    return {
        "order/cancel": f"{ORDERS}/{orders[0]}/cancel",
        "canceled/cancel": f"{ORDERS}/{orders[1]}/cancel",
        "order/resend": f"{ORDERS}/{orders[0]}/resend-confirmation",
        "done/cancel": f"/api/v1/jobs/{ids['done']}/cancel",
        "done/retry": f"/api/v1/jobs/{ids['done']}/retry",
        "waiting/retry": f"/api/v1/jobs/{ids['waiting']}/retry",
    }


@pytest.mark.parametrize("once", [False, True], ids=["plain", "once"])
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("order/cancel", 200),
        ("canceled/cancel", 409),
        ("order/resend", 202),
        ("done/cancel", 409),
        ("done/retry", 409),
        ("waiting/retry", 409),
    ],
)
def test_a_request_holds_one_connection(
    app: Flask,
    admin: FlaskClient,
    addresses: dict[str, str],
    name: str,
    status: int,
    once: bool,
) -> None:
    headers = {"Idempotency-Key": secrets.token_hex()} if once else {}
    with most_connections(app) as counts:
        answer: TestResponse = admin.post(addresses[name], headers=headers)

    assert answer.status_code == status, answer.text
    assert max(counts) == 1
