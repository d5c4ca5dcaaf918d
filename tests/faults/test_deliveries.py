"""Messages that come many times, or never, to one worker, to several, or to none for a while."""

import time

from tests.faults import tasks
from tests.faults.extent import only_in_full
from tests.faults.importing import Import
from tests.faults.stack import PATIENCE_SECONDS, Stack, ended
from tests.processes import Web, Worker, wait_for

DELIVERIES = 10
JOBS = 20
ONE_LEASE = {"JOB_LEASE_SECONDS": "600"}  # so that no attempt but the first may run


def ten_wait_at_once(stack: Stack) -> bool:
    """Whether all deliveries wait for the job, before the first gives up (lock_timeout)."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if stack.waiting_for_locks() >= DELIVERIES:
            return True
        time.sleep(0.05)
    return False


def test_of_ten_deliveries_at_once_exactly_one_runs(stack: Stack) -> None:
    def worker() -> Worker:
        return stack.worker(*tasks.OPTIONS, "--concurrency=5", **ONE_LEASE)

    def all_want_it() -> bool:
        stack.deliver(tasks.TRACE, job_id, DELIVERIES)
        return ten_wait_at_once(stack)

    with worker() as one, worker() as other:
        job_id = stack.put_in(tasks.TRACE)
        with stack.holding("SELECT FROM jobs WHERE id = %s FOR UPDATE", job_id):
            wait_for("all want it", all_want_it, PATIENCE_SECONDS)
        job = ended(stack, job_id)

        def in_vain() -> int:
            return (one.output() + other.output()).count("nothing to claim")

        wait_for("the others find nothing to do", lambda: in_vain() >= DELIVERIES - 1)

    assert (job.status, job.attempt) == ("succeeded", 1)
    assert stack.traces(job_id) == 1


@only_in_full
def test_jobs_taken_in_without_a_worker_are_done_once_there_is_one(stack: Stack, web: Web) -> None:
    accepted = [Import(web, prefix=f"file{n}-", products=500) for n in range(4)]
    time.sleep(1)
    assert {job.state()["status"] for job in accepted} == {"queued"}

    with stack.worker():
        for job in accepted:
            job.ended()

    for job in accepted:
        job.assert_exactly_once(stack)


@only_in_full
def test_three_workers_that_all_sweep_run_each_waiting_job_once(stack: Stack) -> None:
    with (
        stack.worker(*tasks.OPTIONS, **ONE_LEASE),
        stack.worker(*tasks.OPTIONS, **ONE_LEASE),
        stack.worker(*tasks.OPTIONS, **ONE_LEASE),
    ):
        job_ids = [stack.put_in(tasks.TRACE) for _ in range(JOBS)]
        jobs = [ended(stack, job_id) for job_id in job_ids]

    assert {job.status for job in jobs} == {"succeeded"}
    assert {job.attempt for job in jobs} == {1}
    assert [stack.traces(job_id) for job_id in job_ids] == [1] * JOBS
