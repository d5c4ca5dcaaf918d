"""Redis gone, silent, emptied or full: reads and writes go on, and no job is lost by it."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.clients import assert_kept, creating
from tests.faults.extent import REDIS_GONE_SECONDS, REDIS_SILENT_SECONDS, only_in_full
from tests.faults.importing import Import
from tests.faults.stack import PUBLISHING_SECONDS, Stack, end, resume, suspend
from tests.processes import Web


def kill(stack: Stack) -> None:
    end(stack.redis, signal.SIGKILL)


def silence(stack: Stack) -> None:
    suspend(stack.redis)


def fill(stack: Stack) -> None:
    with stack.asking_redis() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)


def start(stack: Stack) -> None:
    stack.redis.start()


def wake(stack: Stack) -> None:
    resume(stack.redis)


def make_room(stack: Stack) -> None:
    with stack.asking_redis() as client:
        client.config_set("maxmemory", 0)


Harm = Callable[[Stack], None]


@pytest.mark.parametrize(
    ("harm", "mend"),
    [(kill, start), (silence, wake), pytest.param(fill, make_room, marks=only_in_full)],
)
def test_reads_and_writes_go_on_without_redis_and_publishing_gives_up_soon(
    stack: Stack, web: Web, harm: Harm, mend: Harm
) -> None:
    Import(web, prefix="warm", products=1)
    harm(stack)
    with creating(web) as told:
        accepted = [Import(web, prefix=f"file{n}-", products=1) for n in range(5)]
        time.sleep(1)
    mend(stack)

    assert set.union(*(each.statuses for each in told)) == {200, 201}
    assert_kept(stack, told)
    slowest = max(answer.elapsed.total_seconds() for each in told for answer in each.answers)
    assert slowest < PUBLISHING_SECONDS
    assert max(job.seconds_to_answer for job in accepted) < PUBLISHING_SECONDS


@pytest.mark.parametrize(
    ("harm", "seconds", "mend"),
    [
        (kill, REDIS_GONE_SECONDS, start),
        pytest.param(silence, REDIS_SILENT_SECONDS, wake, marks=only_in_full),
        pytest.param(fill, REDIS_SILENT_SECONDS, make_room, marks=only_in_full),
    ],
)
def test_a_worker_outlives_redis_being_away_and_no_job_is_lost_or_done_twice(
    stack: Stack, web: Web, harm: Harm, seconds: float, mend: Harm
) -> None:
    with stack.worker() as worker:
        running = Import(web, prefix="running-")
        running.in_the_middle()
        harm(stack)
        running.assert_unfinished(stack)
        accepted = Import(web, prefix="accepted-", products=500)
        time.sleep(seconds)
        mend(stack)
        late = Import(web, prefix="late-", products=500)
        for job in (running, accepted, late):
            job.ended()
        assert worker.process is not None
        assert worker.process.poll() is None, worker.output()

    for job in (running, accepted, late):
        job.assert_exactly_once(stack)


@only_in_full
def test_flushall_loses_neither_what_waits_nor_what_runs(stack: Stack, web: Web) -> None:
    waiting = [Import(web, prefix=f"file{n}-", products=500) for n in range(3)]
    flush(stack)
    with stack.worker():
        running = Import(web)
        running.in_the_middle()
        flush(stack)
        running.assert_unfinished(stack)
        for job in (running, *waiting):
            job.ended()

    for job in (running, *waiting):
        job.assert_exactly_once(stack)


def flush(stack: Stack) -> None:
    with stack.asking_redis() as client:
        client.flushall()


@pytest.mark.parametrize(
    ("harm", "mend"), [pytest.param(kill, start, marks=only_in_full), (fill, make_room)]
)
def test_a_worker_started_while_redis_is_away_begins_once_it_is_there(
    stack: Stack, web: Web, harm: Harm, mend: Harm
) -> None:
    harm(stack)
    job = Import(web, products=500)
    with stack.worker_without_redis() as worker:
        time.sleep(1)
        assert job.state()["status"] == "queued"
        mend(stack)
        job.ended()
        assert worker.process is not None
        assert worker.process.poll() is None, worker.output()

    job.assert_exactly_once(stack)
