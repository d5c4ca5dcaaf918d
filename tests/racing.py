"""Requests that meet: all wait for the same lock, and are let go at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg2
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from models import db
from tests.processes import wait_for
from tests.stage import ADMIN

Send = Callable[[FlaskClient], TestResponse]

LOCK_PRODUCTS = "SELECT id FROM products ORDER BY id FOR UPDATE"
TAKE_HANDLE = "INSERT INTO products (handle, name) VALUES (%s, 'Held')"  # never committed


def race(app: Flask, hold: str, params: tuple[Any, ...], *sends: Send) -> list[TestResponse]:
    """The answers to requests that all wait for what `hold` locks, and are then let go at once.

    They come to wait in their order; PostgreSQL gives a row's lock to the first one first.
    """
    with _holding(hold, params) as holder, ThreadPoolExecutor(len(sends)) as beside:
        answers = []
        for number, send in enumerate(sends, 1):
            answers.append(beside.submit(_send, app, send))
            wait_for("it waits", partial(_wait, holder, number), 2.5)
        holder.connection.rollback()
        found = [answer.result(20) for answer in answers]
    with app.app_context():
        db.engine.dispose()  # other tests count on one connection that knows their statements
    return found


@contextmanager
def _holding(hold: str, params: tuple[Any, ...]) -> Iterator[Any]:
    with closing(psycopg2.connect(settings.database_url.replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        cursor.execute(hold, params)
        yield cursor


def _send(app: Flask, send: Send) -> TestResponse:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = ADMIN["Authorization"]
    return send(client)


def _wait(cursor: Any, number: int) -> bool:
    # Not pg_stat_activity, which shows a transaction the same for as long as it lasts.
    cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(cursor.fetchone()[0]) >= number
