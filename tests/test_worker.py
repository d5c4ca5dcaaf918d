"""Celery as it is deployed: a real worker process, tasks that carry their caller."""

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from celery import Celery
from flask import Flask
from kombu.asynchronous import Hub
from kombu.asynchronous.timer import Timer
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from jobs import queue
from jobs.tasks import Clock
from models import Job
from tasks import celery, very_slow_add
from tests.processes import BIN, ROOT, Web, Worker, wait_for
from tests.stage import ADMIN
from tests.tasks_for_tests import count as counting
from tests.tasks_for_tests import tell_caller


@pytest.fixture(scope="module")
def worker(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    with Worker(folder, "--include", "tests.tasks_for_tests") as running:
        yield running


def test_redis_is_broker_and_result_backend_of_one_celery(app: Flask) -> None:
    assert isinstance(celery, Celery)
    assert celery.conf.broker_url == celery.conf.result_backend
    assert very_slow_add.app is celery


def test_a_slow_task_gives_its_result_and_holds_up_no_request(
    app: Flask, worker: Worker, web: Web
) -> None:
    started = time.monotonic()
    result = very_slow_add.delay(5, 7)
    answered = 0
    with httpx.Client(base_url=web.url) as client:
        while not result.ready():
            assert client.get("/api/v1/products").status_code == 200
            answered += 1

    assert result.get(timeout=1) == 12
    assert time.monotonic() - started >= 3
    assert answered > 30  # a request that waited for the task would leave time for one


def test_the_sweep_overtakes_all_that_waits(app: Flask, session: Session, tmp_path: Path) -> None:
    """It expires in a queue that takes longer, and nobody would look after the jobs."""
    ids = [
        queue.enqueue(session, counting, "count", {"total": 1, "seconds": 0.3}).id
        for _ in range(40)
    ]
    lost = queue.enqueue(session, counting, "count", {"total": 1, "seconds": 0})
    session.flush()
    lapsed = {"status": "running", "attempt": 1, "lease_until": func.now() - timedelta(seconds=9)}
    session.execute(update(Job).where(Job.id == lost.id).values(lapsed))
    session.commit()

    with Worker(tmp_path, "--include", "tests.tasks_for_tests"):
        wait_for("it is queued again", lambda: queue.find(lost.id).status != "running", 20)
        waiting = [job_id for job_id in ids if queue.find(job_id).status == "queued"]

    assert waiting


def test_a_task_knows_and_logs_the_request_that_caused_it(app: Flask, worker: Worker) -> None:
    request = app.test_request_context(
        base_url="https://shop.example", headers={"X-Request-ID": "a-request-id", **ADMIN}
    )
    with request:
        app.preprocess_request()
        told = tell_caller.delay().get(timeout=20)

    assert told == {
        "url": "https://shop.example/api/v1/products",
        "request_id": "a-request-id",
        "base_url": "https://shop.example/",
        "key_id": None,
    }
    line = next(line for line in worker.output().splitlines() if "telling who called" in line)
    assert "request_id=a-request-id" in line


def test_a_job_logs_the_request_and_key_that_asked_for_it(
    app: Flask, worker: Worker, web: Web
) -> None:
    accepted = httpx.post(
        f"{web.url}/api/v1/imports",
        content=b"handle,name\ntea,Tea\n",
        headers={"Content-Type": "text/csv", "X-Request-ID": "an-import", **ADMIN},
    )
    assert accepted.status_code == 202
    assert accepted.headers["Retry-After"] == "1"
    url = accepted.headers["Location"]
    job = wait_for("the job ends", lambda: _ended(url))

    assert job["status"] == "succeeded"
    told = rf"request_id=an-import msg=job job={job['id']} kind=import attempt=1 .* key=admin$"
    wait_for("its line", lambda: re.search(told, worker.output(), re.MULTILINE))


def _ended(url: str) -> dict[str, str] | None:
    job = httpx.get(url, headers=ADMIN).json()
    return job if job["ready"] else None


def test_a_solo_pool_works_too(app: Flask, worker: Worker, tmp_path: Path) -> None:
    worker.stop()
    with Worker(tmp_path, "--pool=solo") as solo:
        assert very_slow_add.delay(5, 7).get(timeout=20) == 12
        assert "adding 5 and 7" in solo.output()
    worker.start()


def test_children_that_have_ended_are_looked_for_all_the_time() -> None:
    looked: list[float] = []
    hub: Any = Hub(timer=Timer())  # type: ignore[no-untyped-call]
    pool = SimpleNamespace(maintain_pool=lambda: looked.append(time.monotonic()))
    consumer = SimpleNamespace(hostname="worker", timer=hub.timer, pool=pool)
    clock = Clock(consumer)

    clock.start(consumer)
    wait_for("the pool looks twice", lambda: hub.fire_timers() and len(looked) >= 2, 4)
    clock.stop(consumer)

    assert all(due.entry.canceled for due in hub.timer.queue)


def test_flask_shell_in_a_second_terminal_just_works(app: Flask, worker: Worker) -> None:
    shell = subprocess.run(
        [str(BIN / "flask"), "--app", "wsgi", "shell"],
        input="print('sum:', very_slow_add.delay(5, 7).wait())\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "sum: 12" in shell.stdout
