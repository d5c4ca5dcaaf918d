"""Two overlapping releases stay within Heroku's small plans: PostgreSQL 19, Redis 18."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.faults.extent import only_in_full
from tests.faults.importing import Import
from tests.faults.stack import ADMIN, Stack
from tests.processes import Web

POSTGRESQL_MOST = 19
REDIS_MOST = 18
CLIENTS = 8
SECONDS = 4


def read(web: Web, until: float) -> None:
    with httpx.Client(base_url=web.url, headers=ADMIN) as client:
        while time.monotonic() < until:
            assert client.get("/api/v1/products").status_code == 200


@only_in_full
def test_two_releases_under_load_need_no_more_connections_than_there_are(stack: Stack) -> None:
    """Each release is of one web dyno, with the two processes of a small one, and one worker."""
    postgresql, redis = [], []
    with (
        stack.web(WEB_CONCURRENCY="2") as web,
        stack.web(WEB_CONCURRENCY="2") as other,
        stack.worker(),
        stack.worker(),
        ThreadPoolExecutor(2 * CLIENTS) as clients,
    ):
        jobs = [Import(web, prefix=f"file{n}-", products=2000) for n in range(4)]
        until = time.monotonic() + SECONDS
        reading = [
            clients.submit(read, each, until) for each in (web, other) for _ in range(CLIENTS)
        ]
        while time.monotonic() < until:
            postgresql.append(len(stack.clients_of_postgresql()))
            with stack.asking_redis() as client:
                redis.append(len(client.client_list()) - 1)
            time.sleep(0.05)
        for each in reading:
            each.result()
        for job in jobs:
            job.ended()

    print(f"PostgreSQL {max(postgresql)}, Redis {max(redis)}")
    assert 6 <= max(postgresql) <= POSTGRESQL_MOST
    assert 4 <= max(redis) <= REDIS_MOST
