"""The import as users get it: a file sent to gunicorn, a job done by a Celery worker."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from bench.watching import Memory, Reader
from tests.processes import Web, Worker

TIMEOUT_SECONDS = 300
ADMIN = {"Authorization": f"Bearer {os.environ['ADMIN_API_KEY']}"}


@dataclass(frozen=True, slots=True)
class Import:
    """A finished import, with what was seen meanwhile."""

    seconds: float  # of the job, from its start in the worker to its end
    reader: Reader
    memory: Memory


def run(file: Path, folder: Path) -> float:
    """Import the file with a web process and a worker of its own; returns the job's seconds."""
    with _processes(folder) as (web, _):
        return _seconds(_imported(web.url, file))


def watch(file: Path, folder: Path, pause_seconds: float) -> Import:
    """The same with a reader beside it, who takes his share of the two cores."""
    with _processes(folder) as (web, worker):
        if worker.process is None:
            raise RuntimeError("the worker is gone")
        products = Reader(f"{web.url}/api/v1/products?limit=25", pause_seconds)
        with products, Memory(worker.process) as memory:
            job = _imported(web.url, file)
        return Import(_seconds(job), products, memory)


@contextmanager
def _processes(folder: Path) -> Iterator[tuple[Web, Worker]]:
    for name in ("web", "worker"):
        (folder / name).mkdir(parents=True)
    with Web(folder / "web") as web, Worker(folder / "worker") as worker:
        yield web, worker


def _imported(url: str, file: Path) -> dict[str, Any]:
    with httpx.Client(base_url=url, headers=ADMIN, timeout=60) as client, file.open("rb") as body:
        response = client.post(
            "/api/v1/imports", content=body, headers={"Content-Type": "text/csv"}
        )
        response.raise_for_status()
        job = _when_ready(lambda: client.get(response.headers["Location"]).json())
    if job["status"] != "succeeded" or job["progress"]["failed"]:
        raise RuntimeError(f"the import went wrong: {job}")
    return job


def _when_ready(job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if (seen := job())["ready"]:
            return seen
        time.sleep(0.2)
    raise TimeoutError(f"the import takes longer than {TIMEOUT_SECONDS} s")


def _seconds(job: dict[str, Any]) -> float:
    started, finished = (
        datetime.fromisoformat(job[f"{name}_at"]) for name in ("started", "finished")
    )
    return (finished - started).total_seconds()
