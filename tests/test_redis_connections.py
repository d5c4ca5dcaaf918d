"""How many connections to Redis each dyno holds: Heroku's smallest plan has 20 for all of them."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from psutil import CONN_ESTABLISHED

from config import settings
from tests.processes import Process, Web, Worker, wait_for
from tests.stage import ADMIN

LIMITED = {"RATE_LIMIT": "100000", "RATE_LIMIT_VISITORS": "100000"}  # counted in Redis


def held_by(dyno: Process) -> list[int]:
    """How many each of its processes holds."""
    port = urlsplit(settings.redis_url).port
    return [
        sum(
            bool(each.raddr) and each.raddr.port == port and each.status == CONN_ESTABLISHED
            for each in process.net_connections("tcp")
        )
        for process in dyno.processes()
    ]


@pytest.mark.usefixtures("app")
def test_a_web_process_holds_two_and_a_worker_one(tmp_path: Path) -> None:
    web = Web(tmp_path, WEB_CONCURRENCY="2", **LIMITED)
    with web, Worker(tmp_path) as worker:

        def both_have_counted_and_published() -> bool:
            made = httpx.post(
                f"{web.url}/api/v1/imports",
                content=b"handle,name\ntea,Tea\n",
                headers={"Content-Type": "text/csv", **ADMIN},
            )
            assert made.status_code == 202
            return min(held_by(web)[1:]) >= 2

        wait_for("each process has been asked", both_have_counted_and_published)
        wait_for("the jobs are done", lambda: no_job_waits(web))

        assert max(held_by(web)) == 2
        # Its publishers hold none: what is seen for a moment goes.
        wait_for("the worker keeps one", lambda: held_by(worker) == [1, 0, 0], 5)


def no_job_waits(web: Web) -> bool:
    """Whether the queue is empty."""
    return not httpx.get(f"{web.url}/status", headers=ADMIN).json()["jobs"]
