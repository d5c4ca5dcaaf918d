"""Connections to Redis that are dead without a word: nobody hangs up, and nothing comes of them."""

import time

from tests.faults.clients import assert_kept, creating
from tests.faults.extent import REDIS_SILENT_SECONDS, only_in_full
from tests.faults.importing import Import
from tests.faults.proxy import Proxy
from tests.faults.stack import PUBLISHING_SECONDS, Stack


@only_in_full
def test_half_open_connections_hold_up_no_request_and_lose_no_job(stack: Stack) -> None:
    with (
        Proxy(stack.redis.port) as way,
        stack.web(WEB_CONCURRENCY="2", REDIS_URL=way.url) as web,
        stack.worker(REDIS_URL=way.url),
    ):
        running = Import(web, prefix="running-")
        running.in_the_middle()
        way.cut()
        running.assert_unfinished(stack)
        with creating(web) as told:
            accepted = [Import(web, prefix=f"file{n}-", products=100) for n in range(3)]
            time.sleep(REDIS_SILENT_SECONDS)
        waiting = Import(web, prefix="waiting-", products=100)
        assert waiting.state()["status"] == "queued"
        way.mend()  # for new connections: a worker that waits on its old one waits for ever
        late = Import(web, prefix="late-", products=100)
        jobs = [running, *accepted, waiting, late]
        for job in jobs:
            job.ended()

    assert set.union(*(each.statuses for each in told)) == {200, 201}
    assert_kept(stack, told)
    slowest = max(answer.elapsed.total_seconds() for each in told for answer in each.answers)
    assert slowest < PUBLISHING_SECONDS
    assert max(job.seconds_to_answer for job in [*accepted, waiting]) < PUBLISHING_SECONDS
    for job in jobs:
        job.assert_exactly_once(stack)
