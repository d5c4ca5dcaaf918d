"""SIGTERM as Heroku sends it: to every process of a dyno, and more than once."""

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy.orm import Session

from jobs import queue
from jobs.files import FileReader
from tests.processes import Worker, wait_for
from tests.tasks_for_tests import count

TOTAL = 50
# So long that nobody waits for them: a job goes on because it was handed over.
PATIENT = {"JOB_LEASE_SECONDS": "600", "JOB_SWEEP_SECONDS": "600"}


def worker(folder: Path, *options: str) -> Worker:
    folder.mkdir()
    return Worker(folder, "--include", "tests.tasks_for_tests", *options, **PATIENT)


def counting(session: Session) -> int:
    job = queue.enqueue(session, count, "count", {"total": TOTAL, "seconds": 0.05})
    session.commit()
    return job.id


def processed(job_id: int, beyond: int) -> Any:
    return wait_for("it goes on", lambda: queue.find(job_id).progress.get("processed", 0) > beyond)


def assert_counted_once(job_id: int) -> None:
    job = wait_for("it ends", lambda: (row := queue.find(job_id)).finished_at and row)
    assert job.status == "succeeded"
    assert FileReader(job.result_file_id).read().split() == [b"%d" % n for n in range(TOTAL)]


@pytest.mark.parametrize(
    ("to_all", "options"),
    [(True, ()), (False, ()), (False, ("--pool=solo",))],
    ids=["to-all", "to-the-parent", "solo"],
)
def test_a_worker_ends_in_time_and_another_goes_on_at_once(
    session: Session, tmp_path: Path, to_all: bool, options: tuple[str, ...]
) -> None:
    with worker(tmp_path / "first", *options) as first:
        job_id = counting(session)
        processed(job_id, beyond=5)
        assert first.process is not None
        processes = [first.process, *first.process.children()]
        for _ in range(2):
            for process in processes if to_all else processes[:1]:
                process.send_signal(signal.SIGTERM)
            time.sleep(0.05)

        _, alive = psutil.wait_procs(processes, timeout=25)

        assert not alive
    left = queue.find(job_id)
    assert (left.status, left.attempt) == ("queued", 1), first.output()
    assert left.progress["processed"] < TOTAL
    with worker(tmp_path / "second"):
        assert_counted_once(job_id)
    assert queue.find(job_id).attempt == 2
