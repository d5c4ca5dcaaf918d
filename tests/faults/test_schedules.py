"""A schedule ticks in every worker, and runs once over all of them, whoever of them lives."""

import time
from typing import Any

from tests.faults import tasks
from tests.faults.extent import only_in_full
from tests.faults.stack import PATIENCE_SECONDS, Stack, ended
from tests.processes import Worker, wait_for

SECONDS = 2
MISSED = 2  # rounds, while there is no worker


def ticks(stack: Stack) -> list[Any]:
    """The jobs put in so far, each with the round that it was put in for, counted back from now.

    Rounds last from one time that the schedule is due to the next.
    """
    return stack.rows(
        "SELECT jobs.id, floor(extract(epoch FROM created_at - due_at) / %s)::int AS round"
        " FROM jobs JOIN schedules ON name = kind WHERE kind = %s ORDER BY jobs.id",
        SECONDS,
        tasks.TRACE,
    )


def see_more(stack: Stack, rounds: int) -> None:
    """Wait until it has ticked so many times more."""
    before = len(ticks(stack))
    wait_for(f"{rounds} more ticks", lambda: len(ticks(stack)) >= before + rounds, PATIENCE_SECONDS)


@only_in_full
def test_three_workers_run_a_schedule_once_a_round_and_so_do_those_that_are_left(
    stack: Stack,
) -> None:
    def worker() -> Worker:
        return stack.worker(*tasks.OPTIONS, TRACE_EVERY_SECONDS=str(SECONDS))

    with worker() as one, worker() as other, worker() as third:
        see_more(stack, 3)
        one.kill()
        see_more(stack, 2)
        other.stop()
        third.stop()
        before = len(ticks(stack))
        time.sleep(SECONDS * (MISSED + 1))
        assert len(ticks(stack)) == before
        one.start()
        see_more(stack, 2)
        jobs = [ended(stack, tick.id) for tick in ticks(stack)]

    rounds = [tick.round for tick in ticks(stack)][: len(jobs)]
    assert rounds == sorted(set(rounds)), "a round ran twice"
    assert rounds[before] - rounds[before - 1] > MISSED, "what was missed was made up many times"
    assert {job.status for job in jobs} == {"succeeded"}
    assert [stack.traces(job.id) for job in jobs] == [1] * len(jobs)
