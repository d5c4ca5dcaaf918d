"""Messages that come many times, or never, to one worker, to several, or to none for a while."""

import time

from tests.faults import tasks
from tests.faults.importing import Import
from tests.faults.stack import Stack, ended
from tests.processes import Web, wait_for

DELIVERIES = 10
JOBS = 20


def traces(stack: Stack, job_id: int) -> int:
    """How often a job took effect."""
    sql = "SELECT count(*) FROM products WHERE name = %s"
    return int(stack.rows(sql, f"trace of {job_id}")[0].count)


def test_of_ten_deliveries_at_once_exactly_one_runs(stack: Stack) -> None:
    options = (*tasks.OPTIONS, "--concurrency=5")
    with stack.worker(*options) as one, stack.worker(*options) as other:
        job_id = stack.put_in(tasks.TRACE)
        with stack.holding("SELECT FROM jobs WHERE id = %s FOR UPDATE", job_id):
            stack.deliver(tasks.TRACE, job_id, DELIVERIES)
            wait_for("all want it", lambda: stack.waiting_for_locks() >= DELIVERIES, 10)
        job = ended(stack, job_id)

        def in_vain() -> int:
            return (one.output() + other.output()).count("nothing to claim")

        wait_for("the others find nothing to do", lambda: in_vain() >= DELIVERIES - 1)

    assert (job.status, job.attempt) == ("succeeded", 1)
    assert traces(stack, job_id) == 1


def test_jobs_taken_in_without_a_worker_are_done_once_there_is_one(stack: Stack, web: Web) -> None:
    accepted = [Import(web, prefix=f"file{n}-", products=500) for n in range(4)]
    time.sleep(1)
    assert {job.state()["status"] for job in accepted} == {"queued"}

    with stack.worker():
        for job in accepted:
            job.ended()

    for job in accepted:
        job.assert_exactly_once(stack)


def test_three_workers_that_all_sweep_run_each_waiting_job_once(stack: Stack) -> None:
    with (
        stack.worker(*tasks.OPTIONS),
        stack.worker(*tasks.OPTIONS),
        stack.worker(*tasks.OPTIONS),
    ):
        job_ids = [stack.put_in(tasks.TRACE) for _ in range(JOBS)]
        jobs = [ended(stack, job_id) for job_id in job_ids]

    assert {job.status for job in jobs} == {"succeeded"}
    assert {job.attempt for job in jobs} == {1}
    assert [traces(stack, job_id) for job_id in job_ids] == [1] * JOBS


# A schedule (a row of its own, due every so often) belongs here as soon as there is one: with the
# three workers above, the number of its runs against the time that has passed.
