"""Nothing acknowledged is lost, and nothing happens twice, whoever is killed in the middle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from dev.services import free_port
from jobs import queue
from models import JobError, Product, Variant
from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN
from tests.tasks_for_tests import die

TERMINATE_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
PRODUCTS = 8_000
REFUSED = range(100, PRODUCTS, 1000)  # products whose second row is wrong
CATALOGUE = "handle,name,option1_name,option1_value,price\n" + "".join(
    f"p{n},Product {n},Size,S,1.50\np{n},,,L,{'free' if n in REFUSED else '2.50'}\n"
    for n in range(PRODUCTS)
)


class Watched:
    """An import over real HTTP."""

    def __init__(self, web: Web) -> None:
        response = httpx.post(
            f"{web.url}/api/v1/imports",
            content=CATALOGUE.encode(),
            headers={"Content-Type": "text/csv", **ADMIN},
        )
        assert response.status_code == 202
        self.url = response.headers["Location"]

    def state(self) -> dict[str, Any]:
        job: dict[str, Any] = httpx.get(self.url, headers=ADMIN).json()
        return job

    def in_the_middle(self, beyond: int) -> dict[str, Any]:
        """The job once it has processed more rows than `beyond`, and not all."""
        return self.when(lambda job: job["progress"].get("processed", 0) > beyond)

    def when(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            job = self.state()
            return job if holds(job) else None

        return wait_for("the job gets there", probe, 60)


def assert_complete(job: dict[str, Any], session: Session) -> None:
    """Each row took effect once: in the tables, in the progress and in the report."""
    assert job["status"] == "succeeded", job
    assert job["progress"] == {
        "total": 2 * PRODUCTS,
        "processed": 2 * PRODUCTS,
        "created": PRODUCTS,
        "updated": 0,
        "unchanged": 0,
        "failed": len(REFUSED),
    }
    count = select(func.count())
    assert session.scalar(count.select_from(Product)) == PRODUCTS
    assert session.scalar(count.select_from(Variant)) == 2 * PRODUCTS - len(REFUSED)
    assert session.scalar(select(func.max(Product.version))) == 1
    assert session.scalar(count.select_from(JobError)) == len(REFUSED)


def test_an_import_survives_kill_9_of_the_whole_worker_again_and_again(
    session: Session, web: Web, tmp_path: Path
) -> None:
    with Worker(tmp_path) as worker:
        job = Watched(web)
        seen = 0
        for _ in range(3):
            job.in_the_middle(beyond=seen)
            worker.kill()
            left = job.state()
            assert not left["ready"], "the file is too small to be killed in the middle"
            seen = left["progress"]["processed"]
            worker.start()
        ended = job.when(lambda state: state["ready"])

    assert ended["attempts"] >= 4
    assert_complete(ended, session)


def test_an_import_survives_kill_9_of_the_pool_child_that_does_it(
    session: Session, web: Web, tmp_path: Path
) -> None:
    with Worker(tmp_path) as worker:
        job = Watched(web)
        job.in_the_middle(beyond=0)
        for pid in worker.pids()[1:]:
            psutil.Process(pid).kill()
        assert not job.state()["ready"]
        ended = job.when(lambda state: state["ready"])

    assert ended["attempts"] >= 2
    assert_complete(ended, session)


def test_a_worker_that_slept_past_its_lease_writes_nothing_more(
    session: Session, web: Web, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Worker(tmp_path / "a") as sleeper:
        job = Watched(web)
        job.in_the_middle(beyond=0)
        for pid in sleeper.pids():
            psutil.Process(pid).suspend()
        assert not job.state()["ready"]
        with Worker(tmp_path / "b"):
            ended = job.when(lambda state: state["ready"])
            for pid in sleeper.pids():
                psutil.Process(pid).resume()
            wait_for("the sleeper notices", lambda: "LeaseLost" in sleeper.output())

    assert ended["attempts"] >= 2
    assert_complete(ended, session)
    assert_complete(job.state(), session)


def test_a_job_accepted_without_redis_is_done_once_a_worker_has_one(
    session: Session, tmp_path: Path
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    (tmp_path / "web").mkdir()
    (tmp_path / "worker").mkdir()
    with WebWithoutRedis(tmp_path / "web", REDIS_URL=nobody) as web:
        job = Watched(web)
        assert job.state()["status"] == "queued"
        with Worker(tmp_path / "worker"):
            ended = job.when(lambda state: state["ready"])

    assert_complete(ended, session)


def test_an_import_and_its_readers_survive_the_loss_of_every_database_connection(
    session: Session, web: Web, tmp_path: Path
) -> None:
    with Worker(tmp_path) as worker:
        job = Watched(web)
        seen = 0
        for _ in range(3):
            seen = job.in_the_middle(beyond=seen)["progress"]["processed"]
            session.execute(TERMINATE_OTHERS)
            session.rollback()
            assert httpx.get(f"{web.url}/api/v1/products").status_code == 200
        ended = job.when(lambda state: state["ready"])

    assert "step repeated" in worker.output()
    assert_complete(ended, session)


class WebWithoutRedis(Web):
    """Serves, though it is not ready."""

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False


def test_a_job_that_kills_its_worker_each_time_ends_with_the_reason(
    session: Session, tmp_path: Path
) -> None:
    with Worker(tmp_path, "--include", "tests.tasks_for_tests"):
        job_id = queue.enqueue(session, die, "suicide").id
        session.commit()
        wait_for("it is given up", lambda: queue.find(job_id).finished_at)

    job = queue.find(job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "attempts_exhausted"
