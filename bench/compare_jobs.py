"""Times jobs: from the 202 of an import to its first chunk, and how many a worker does a second.

`bench/jobs` runs it; `bench/README.md` says what is measured and what must hold.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import httpx
import redis
from sqlalchemy import text

from bench import catalogue, tables
from bench.tasks_for_bench import nothing, nothing_as_a_job, two_commits
from bench.whole_path import ADMIN
from config import settings
from jobs import queue
from models import db
from reads import read
from tests.processes import BIN, ROOT, Web, Worker
from tests.stage import WAKEUPS
from wsgi import app

_QUEUES = ("celery", WAKEUPS)  # of bare Celery, and the sweep's; and ours
_TIMEOUT_SECONDS = 120


class JobsWorker(Worker):
    """Our worker."""

    command = (*Worker.command, "--include", "bench.tasks_for_bench")


class BareWorker(Worker):
    """Celery's worker alone, started with the same options."""

    command = ("celery", "-A", "bench.tasks_for_bench:bare", *Worker.command[3:])


def first_chunks(folder: Path, rows: int, times: int) -> list[float]:
    """Milliseconds from the answer 202 to the first committed chunk, worker and web idle."""
    file = folder / f"{rows}.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        catalogue.write(target, rows)
    found = []
    for name in (f"web-{rows}", f"worker-{rows}"):
        (folder / name).mkdir()
    with (
        Web(folder / f"web-{rows}") as web,
        Worker(folder / f"worker-{rows}"),
        httpx.Client(base_url=web.url, headers={**ADMIN, "Content-Type": "text/csv"}) as client,
    ):
        for _ in range(times + 1):
            tables.empty()
            time.sleep(0.5)
            found.append(_first_chunk(client, file.read_bytes()))
    return found[1:]  # the first import of a new worker connects and compiles


def _first_chunk(client: httpx.Client, content: bytes) -> float:
    accepted = client.post("/api/v1/imports", content=content, timeout=60)
    start = time.perf_counter()
    accepted.raise_for_status()
    processed = text("SELECT (progress ->> 'processed')::int AS rows FROM jobs WHERE id = :id")
    job_id = {"id": accepted.json()["id"]}
    _wait(lambda: (read(processed, job_id)[0].rows or 0) > 0, 0.002)
    milliseconds = (time.perf_counter() - start) * 1000
    _wait(lambda: bool(client.get(accepted.headers["Location"]).json()["ready"]), 0.05)
    return milliseconds


def jobs_per_second(folder: Path, number: int) -> float:
    """The rate at which our worker claims and ends jobs that wait for it."""
    _empty()
    _jobs(number)
    db.session.commit()
    return _drained(JobsWorker(folder), number, _all_jobs_ended)


def commits_per_second(folder: Path, number: int) -> float:
    """The rate of a bare Celery whose tasks write the same rows as often: what is possible."""
    _empty()
    ids = _jobs(number)
    db.session.info.clear()  # of the wake-ups that would be sent to our own worker
    db.session.commit()
    for job_id in ids:
        two_commits.delay(job_id)
    return _drained(BareWorker(folder), number, _all_jobs_ended)


def tasks_per_second(folder: Path, number: int) -> float:
    """The rate of a bare Celery's tasks, which write nothing."""
    _empty()
    for count in range(number):
        nothing.delay(count)
    return _drained(BareWorker(folder), number, lambda: True)


def _empty() -> None:
    tables.empty()
    redis.Redis.from_url(settings.redis_url).delete(*_QUEUES)  # a worker leaves its sweep there


def _jobs(number: int) -> list[int]:
    session = db.session()
    return [queue.enqueue(session, nothing_as_a_job, kind="bench").id for _ in range(number)]


def _all_jobs_ended() -> bool:
    return not read(text("SELECT 1 FROM jobs WHERE status <> 'succeeded' LIMIT 1"))


def _drained(worker: Worker, number: int, all_ended: Callable[[], bool]) -> float:
    """Start the worker; how many messages a second it takes and ends, until none is left.

    It is stopped once all have ended: what it has taken and not begun, a sweep would send again.
    """
    broker = redis.Redis.from_url(settings.redis_url)

    def waiting() -> int:
        # A child holds one more, which is left out at both ends.
        return sum(int(broker.llen(name)) for name in _QUEUES)

    if waiting() != number:
        raise RuntimeError(f"{waiting()} messages wait instead of {number}")
    worker.log.parent.mkdir(parents=True)
    with worker:
        # Its children start while the first messages are taken: they are left out.
        begun = _at(lambda: waiting() <= number - 100)
        rest = waiting()
        ended = _at(lambda: waiting() == 0)
        _wait(all_ended, 0.1)
    return rest / (ended - begun)


def _at(holds: Callable[[], bool]) -> float:
    _wait(holds, 0.02)  # to look takes from what is looked at
    return time.perf_counter()


def _wait(holds: Callable[[], bool], pause_seconds: float) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_TIMEOUT_SECONDS} s")
        time.sleep(pause_seconds)


def compare(folder: Path, chosen: argparse.Namespace) -> None:
    """Make and print the measurements."""
    subprocess.run([BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, check=True)
    print("From 202 to the first processed chunk, in ms (target: below 200)")
    for rows in chosen.rows:
        found = first_chunks(folder, rows, chosen.times)
        print(f"  {rows:7} rows: median {median(found):.0f}, max {max(found):.0f}", flush=True)
    contenders = {
        "jobs": jobs_per_second,
        "bare Celery and two commits": commits_per_second,
        "bare Celery": tasks_per_second,
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(chosen.rounds):
        for name, measured in contenders.items():
            rates[name].append(measured(folder / f"{name}-{number}", chosen.jobs))
            print(f"Round {number + 1}: {name} {rates[name][-1]:.0f}/s", flush=True)
    print(f"\n{'':29}{'a second':>9}   jobs / this")
    for name, found in rates.items():
        ratio = median(ours / this for ours, this in zip(rates["jobs"], found, strict=True))
        target = "  (at least 0.5)" if name == "bare Celery" else ""
        print(f"{name:29}{median(found):9.0f}   {ratio:.2f}{target}")
    print("Medians of the rounds; the ratio is of the rates in one round.")


def main(arguments: Sequence[str]) -> None:
    """Measure with the numbers given."""
    parser = argparse.ArgumentParser(prog="bench/jobs", description=__doc__)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    with tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder, app.app_context():
        compare(Path(folder), parser.parse_args(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
