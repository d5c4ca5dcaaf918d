"""A worker that is asked to end, and one that sleeps past its lease."""

import signal
import time

from tests.faults.extent import only_in_full
from tests.faults.importing import Import
from tests.faults.stack import EXIT_SECONDS, Stack, gone_by
from tests.processes import Web, wait_for


def test_sigterm_to_all_processes_twice_ends_a_worker_in_time_and_another_goes_on(
    stack: Stack, web: Web
) -> None:
    with stack.worker() as leaving:
        job = Import(web)
        job.in_the_middle()
        processes = leaving.processes()
        at = time.monotonic()
        leaving.signal_all(signal.SIGTERM)
        time.sleep(0.3)
        leaving.signal_all(signal.SIGTERM)

        assert gone_by(at + EXIT_SECONDS, processes)
        assert stack.job(job.id).status == "queued", "it was not handed back"
        with stack.worker():
            job.ended()

    job.assert_exactly_once(stack)


@only_in_full
def test_a_worker_that_slept_past_its_lease_writes_nothing_more(stack: Stack, web: Web) -> None:
    with stack.worker() as sleeper:
        job = Import(web)
        job.in_the_middle()
        sleeper.signal_all(signal.SIGSTOP)
        job.assert_unfinished(stack)
        with stack.worker():
            job.ended()
            attempt = stack.job(job.id).attempt
            sleeper.signal_all(signal.SIGCONT)
            wait_for("the sleeper notices", lambda: "LeaseLost" in sleeper.output())

    assert attempt >= 2
    assert stack.job(job.id).attempt == attempt
    job.assert_exactly_once(stack)
