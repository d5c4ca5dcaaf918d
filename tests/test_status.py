"""`/status` and `/metrics`: what they say of jobs, workers and requests."""

import re
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from config import settings
from dev.services import free_port
from jobs import heartbeat
from tests.keyring import client_with, made_key, sql
from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN
from tests.test_health import LivingWeb
from tests.test_migrations import job


@pytest.fixture(autouse=True)
def _no_workers(app: Flask) -> None:
    """Forget the workers of other tests."""
    with redis.Redis.from_url(settings.redis_url) as server:
        server.delete(heartbeat._KEY)


A_MINUTE_AGO = dict.fromkeys(("created_at", "run_at"), "now() - interval '1 minute'")


def add_job(app: Flask, kind: str, **columns: str) -> None:
    """Put a job in that nobody will be told of."""
    sql(app, job(kind=f"'{kind}'", task="'none'", **columns))


def test_a_shop_with_nothing_to_do_is_well_without_a_worker(admin: FlaskClient) -> None:
    assert admin.get("/status").get_json() == {
        "status": "ok", "release": "", "postgresql": "ok", "redis": "ok", "workers": [],
        "jobs": [], "oldest_waiting_seconds": None, "warnings": [],
    }  # fmt: skip


def test_a_job_that_waits_without_a_worker_says_so(app: Flask, admin: FlaskClient) -> None:
    add_job(app, "import", **A_MINUTE_AGO)
    add_job(app, "import", run_at="now() + interval '1 hour'")
    add_job(app, "export", status="'running'", lease_until="now() - interval '1 s'", attempt="1")

    said = admin.get("/status").get_json()

    assert said["status"] == "degraded"
    assert [(j["kind"], j["status"], j["count"], j["abandoned"]) for j in said["jobs"]] == [
        ("export", "running", 1, 1),
        ("import", "queued", 2, 0),
    ]
    assert 60 <= said["oldest_waiting_seconds"] < 70
    assert said["warnings"] == [
        "3 jobs wait and no worker lives: start one, as with heroku ps:scale worker=1."
    ]


def test_a_worker_is_seen_while_it_lives(admin: FlaskClient, tmp_path: Path) -> None:
    def names() -> list[str]:
        return [worker["name"] for worker in admin.get("/status").get_json()["workers"]]

    with Worker(tmp_path, "--hostname=one@here") as worker:
        wait_for("a beat", names, 10)
        assert names() == ["one@here"]
        worker.kill()
    wait_for("its silence is noticed", lambda: not names(), 10)


@pytest.mark.usefixtures("migrated")
def test_without_its_servers_the_status_says_what_is_away(tmp_path: Path) -> None:
    nowhere = free_port()
    with LivingWeb(tmp_path, REDIS_URL=f"redis://127.0.0.1:{nowhere}/0") as web:
        said = httpx.get(f"{web.url}/status", headers=ADMIN).json()
        counted = httpx.get(f"{web.url}/metrics", headers=ADMIN)

    assert (said["status"], said["redis"]) == ("degraded", "does not answer")
    assert counted.status_code == 200
    assert "pushcart_workers" not in counted.text
    assert "pushcart_oldest_waiting_job_seconds 0.0" in counted.text


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_only_a_key_that_may_read_jobs_sees_them(admin: FlaskClient, path: str) -> None:
    app = admin.application
    reader, other = (client_with(app, made_key(admin, s)) for s in ("jobs:read", "jobs:write"))

    answers = [each.get(path).status_code for each in (app.test_client(), other, reader)]

    assert answers == [401, 403, 200]


def requests_counted(web: Web, route: str) -> int:
    """How many requests of a route all processes have counted together."""
    shown = httpx.get(f"{web.url}/metrics", headers=ADMIN).text
    of_route = rf'pushcart_request_seconds_count{{[^}}]*route="{re.escape(route)}"[^}}]*}} (\S+)'
    return int(sum(float(count) for count in re.findall(of_route, shown)))


@pytest.mark.usefixtures("migrated")
def test_all_processes_count_together_and_the_dead_still_count(tmp_path: Path) -> None:
    with Web(tmp_path, "--workers=2") as web:
        assert web.process is not None
        for _ in range(40):
            httpx.get(f"{web.url}/api/v1/products")  # each a connection, for either process
        httpx.request("MADE", f"{web.url}/up/{'x' * 20}")
        before = requests_counted(web, "/api/v1/products")
        children = web.process.children()
        for child in children:
            child.kill()
        psutil.wait_procs(children, 10)
        wait_for("others take over", web.is_ready)
        httpx.get(f"{web.url}/api/v1/products")
        shown = httpx.get(f"{web.url}/metrics", headers=ADMIN).text
        after = requests_counted(web, "/api/v1/products")

    assert (before, after) == (40, 41)
    assert 'method="other",route="none",status="405"' in shown or (
        'method="other",route="none",status="404"' in shown
    )
    assert "xxx" not in shown


def test_the_metrics_tell_of_jobs_and_of_the_dyno(app: Flask, admin: FlaskClient) -> None:
    heartbeat.beat("one@here")
    add_job(app, "import", **A_MINUTE_AGO)

    shown = admin.get("/metrics").text

    assert 'pushcart_jobs{kind="import",status="queued"} 1.0' in shown
    assert re.search(r"^pushcart_oldest_waiting_job_seconds 6\d\.", shown, re.MULTILINE)
    assert "pushcart_workers 1.0" in shown
    assert 'pushcart_info{dyno="",release=""} 1.0' in shown
