"""Imports and exports as users get them: over HTTP to gunicorn, the job by a Celery worker."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.processes import Web, Worker

TIMEOUT_SECONDS = 600
ADMIN = {"Authorization": f"Bearer {os.environ['ADMIN_API_KEY']}"}
MEDIA_TYPES = {".ndjson": "application/x-ndjson", ".json": "application/json"}

Job = dict[str, Any]


class WholePath:
    """A web process and a worker of its own, and who asks them."""

    def __init__(self, web: Web, worker: psutil.Process, client: httpx.Client) -> None:
        self.url = web.url
        self.worker = worker
        self._client = client

    def import_(self, file: Path, **options: Any) -> Job:
        """The job that has imported the file. Raises RuntimeError if a row was refused."""
        media_type = MEDIA_TYPES.get(file.suffix, "text/csv")
        with file.open("rb") as body:
            job = self._done(
                "imports", params=options, content=body, headers={"Content-Type": media_type}
            )
        if job["progress"]["failed"]:
            raise RuntimeError(f"the import went wrong: {job}")
        return job

    def export(self, name: str, target: Path) -> Job:
        """The job that has exported all products in the format of this name, into `target`."""
        job = self._done("exports", params={"format": name})
        with (
            self._client.stream("GET", f"/api/v1/jobs/{job['id']}/result") as answer,
            target.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                file.write(piece)
        return job

    def _done(self, resource: str, **request: Any) -> Job:
        accepted = self._client.post(f"/api/v1/{resource}", **request)
        accepted.raise_for_status()
        job = _when_ready(lambda: self._client.get(accepted.headers["Location"]).json())
        if job["status"] != "succeeded":
            raise RuntimeError(f"the job went wrong: {job}")
        return job


@contextmanager
def running(folder: Path) -> Iterator[WholePath]:
    """Start the processes, with their logs in `folder`."""
    for name in ("web", "worker"):
        (folder / name).mkdir(parents=True)
    with (
        Web(folder / "web") as web,
        Worker(folder / "worker") as worker,
        httpx.Client(base_url=web.url, headers=ADMIN, timeout=60) as client,
    ):
        yield WholePath(web, worker.processes()[0], client)


def seconds(job: Job) -> float:
    """How long the job took, from its start in the worker to its end."""
    started, finished = (
        datetime.fromisoformat(job[f"{name}_at"]) for name in ("started", "finished")
    )
    return (finished - started).total_seconds()


def _when_ready(job: Callable[[], Job]) -> Job:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if (seen := job())["ready"]:
            return seen
        time.sleep(0.2)
    raise TimeoutError(f"the job takes longer than {TIMEOUT_SECONDS} s")
