"""kill -9 of a pool child and of the whole worker: the job goes on, each row takes effect once."""

import random
import time

import httpx
import psutil
import pytest

from tests.faults import tasks
from tests.faults.extent import KILLS, only_in_full
from tests.faults.importing import Import
from tests.faults.stack import ADMIN, Stack, ended
from tests.processes import Web, Worker

LONGEST_SECONDS = 90  # until the job of a killed worker goes on: design §5


def kill_children(worker: Worker) -> None:
    for pid in worker.pids()[1:]:
        psutil.Process(pid).kill()


def kill_and_start(worker: Worker) -> None:
    worker.kill()
    worker.start()


@pytest.mark.parametrize("harm", [pytest.param(kill_children, marks=only_in_full), kill_and_start])
def test_an_import_survives_kill_9_at_random_moments_again_and_again(
    stack: Stack, web: Web, chance: random.Random, harm: object
) -> None:
    assert callable(harm)
    with stack.worker() as worker:
        job = Import(web)
        seen = 0
        for killed in range(KILLS):
            # A commit that was on its way when its process died is not the next attempt's.
            job.in_the_middle(beyond=seen, attempt=killed + 1)
            time.sleep(chance.uniform(0, 0.1))
            harm(worker)
            job.assert_unfinished(stack)
            seen = stack.job(job.id).progress["processed"]
        job.ended()

    assert stack.job(job.id).attempt > KILLS
    job.assert_exactly_once(stack)


@only_in_full
def test_a_job_that_kills_its_process_each_time_ends_with_the_reason(stack: Stack) -> None:
    with stack.worker(*tasks.OPTIONS, JOB_LEASE_SECONDS="1"):
        job = ended(stack, stack.put_in(tasks.DIE))

    assert job.status == "failed"
    assert job.error["code"] == "attempts_exhausted"
    assert str(job.attempt) in job.error["detail"]


@only_in_full
def test_with_the_settings_of_production_a_killed_workers_job_goes_on_in_time(
    stack: Stack, web: Web
) -> None:
    settings = {"JOB_LEASE_SECONDS": "60", "JOB_SWEEP_SECONDS": "10"}
    with stack.worker(**settings) as killed:
        job = Import(web)
        seen = job.in_the_middle()
        killed.kill()
        at = time.monotonic()
        job.assert_unfinished(stack)
        with stack.worker(**settings):
            job.in_the_middle(beyond=max(seen, stack.job(job.id).progress["processed"]))
            took = time.monotonic() - at
            job.ended()

    assert took < LONGEST_SECONDS
    job.assert_exactly_once(stack)


@only_in_full
def test_a_job_that_was_given_up_can_be_done_again_once_its_cause_is_gone(
    stack: Stack, web: Web
) -> None:
    with stack.worker(*tasks.OPTIONS, JOB_LEASE_SECONDS="1"):
        given_up = ended(stack, stack.put_in(tasks.DIE))
    assert given_up.status == "failed"

    answer = httpx.post(f"{web.url}/api/v1/jobs/{given_up.id}/retry", headers=ADMIN)
    assert answer.status_code < 300, answer.text
    with stack.worker(*tasks.OPTIONS, SPARED="1"):
        again = ended(stack, answer.json()["id"])

    assert again.status == "succeeded"
