"""`Idempotency-Key` with real processes: many at once, slow ones, and one that is killed."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import Job, Product, StoredFile, db
from tests.processes import Web, wait_for
from tests.stage import ADMIN
from tests.test_idempotency import IMPORTS, TEE, URL, count, keyed, replayed


def at_once(number: int, send: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to that many requests, sent together."""
    together = threading.Barrier(number)

    def sent(_: int) -> httpx.Response:
        together.wait(10)
        return send()

    with ThreadPoolExecutor(number) as many:
        return list(many.map(sent, range(number)))


@pytest.fixture(scope="module")
def two(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A gunicorn of two processes."""
    with Web(tmp_path_factory.mktemp("two"), WEB_CONCURRENCY="2") as running:
        yield running


def test_twenty_parallel_posts_make_one_product(session: Session, two: Web) -> None:
    headers = {**ADMIN, **keyed("twenty")}
    with httpx.Client(base_url=two.url, headers=headers, timeout=30) as client:
        answers = at_once(20, lambda: client.post(URL, json=TEE))
        last = client.post(URL, json=TEE)

    assert count(session, Product) == 1
    made = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(made) + len(waiting) == 20
    assert [replayed(answer) for answer in made].count(False) == 1
    assert {answer.content for answer in (*made, last)} == {made[0].content}
    assert {answer.json()["code"] for answer in waiting} <= {"idempotency_in_progress"}
    assert {answer.headers["Retry-After"] for answer in waiting} <= {"1"}


def test_parallel_uploads_with_one_key_are_one_job(session: Session, two: Web) -> None:
    headers = {**ADMIN, **keyed("uploads"), "Content-Type": "text/csv"}
    content = b"handle,name\n" + b"tea,Tea\n" * 200_000
    with httpx.Client(base_url=two.url, headers=headers, timeout=60) as client:
        answers = at_once(8, lambda: client.post(IMPORTS, content=content))

    assert {answer.status_code for answer in answers} <= {202, 409}
    assert (count(session, Job), count(session, StoredFile)) == (1, 1)
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1


def test_a_process_that_is_killed_leaves_no_answer_and_no_effect(
    session: Session, two: Web
) -> None:
    session.execute(text("LOCK products IN SHARE MODE"))  # holds the view in its INSERT
    headers = {**ADMIN, **keyed("killed")}

    def blocked() -> int | None:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with db.engine.connect() as connection:
            found: int | None = connection.scalar(text(waiting))
        return found

    def again(client: httpx.Client) -> httpx.Response | None:
        answer = client.post(URL, json=TEE)
        return None if answer.status_code == 409 else answer

    with ThreadPoolExecutor() as beside, httpx.Client(base_url=two.url, headers=headers) as client:
        first = beside.submit(client.post, URL, json=TEE)
        wait_for("the request waits for the lock", blocked, 5)
        for pid in two.pids()[1:]:
            psutil.Process(pid).kill()
        error = first.exception(10)
        session.rollback()
        wait_for("it is served again", two.is_ready)
        answer = wait_for("PostgreSQL has noticed that its client is gone", lambda: again(client))

    assert isinstance(error, httpx.TransportError)
    assert (answer.status_code, replayed(answer)) == (201, False)
    assert count(session, Product) == 1


def test_an_upload_that_takes_its_time_holds_no_transaction(app: Flask, two: Web) -> None:
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    idle = text(f"SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in %' AND {others}")  # noqa: S608  # ours

    def open_transactions() -> int | None:
        with app.app_context(), db.engine.connect() as connection:
            found: int | None = connection.scalar(idle)
        return found

    def is_at_rest() -> bool:
        for _ in range(5):  # one look might fall between two chunks, or into one
            if open_transactions():
                return False
            time.sleep(0.05)
        return True

    def slowly() -> Iterator[bytes]:
        yield b"handle,name\n" + b"tea,Tea\n" * 100_000
        seen.append(wait_for("each chunk is committed", is_at_rest, 10))
        yield b"milk,Milk\n"

    seen: list[bool] = []
    headers = {**ADMIN, **keyed("slow"), "Content-Type": "text/csv"}

    answer = httpx.post(f"{two.url}{IMPORTS}", content=slowly(), headers=headers, timeout=30)

    assert (answer.status_code, seen) == (202, [True])
