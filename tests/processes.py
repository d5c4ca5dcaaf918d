"""Real processes for the tests: gunicorn and Celery as the Procfile starts them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self, TypeVar

import httpx
import psutil

from dev.services import free_port

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 30) -> T:
    """Return what `probe` finds as soon as it finds something; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} seconds")


class Process:
    """A command of the virtual environment, with its output in a file."""

    command: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.log = folder / "log"
        self._options = options
        self._environment = {**os.environ, **environment}
        self._started_at = 0  # where in the log this start begins
        self.process: psutil.Popen | None = None

    def start(self) -> None:
        """Start, and return once it is ready."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = psutil.Popen(
                [str(BIN / self.command[0]), *self.command[1:], *self._options],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(f"{self.command[0]} is ready\n{self.output()}", self.is_ready)

    def is_ready(self) -> bool:
        """Whether it can be given work."""
        raise NotImplementedError

    def output(self) -> str:
        """Everything it has printed."""
        return self.log.read_bytes().decode("ascii", "replace")

    def pids(self) -> list[int]:
        """The process and its children."""
        assert self.process is not None
        return [self.process.pid, *(child.pid for child in self.process.children())]

    def kill(self) -> None:
        """`kill -9` for the process and its children, all at once."""
        assert self.process is not None
        for process in [*self.process.children(recursive=True), self.process]:
            process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self.process is None or not self.process.is_running():
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except psutil.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Worker(Process):
    """`celery -A tasks.celery worker`, as in the Procfile."""

    command: ClassVar[tuple[str, ...]] = (
        "celery",
        "-A",
        "tasks.celery",
        "worker",
        "--loglevel=INFO",
    )

    def is_ready(self) -> bool:
        """Whether it takes messages."""
        return " ready." in self.output()[self._started_at :]


class Web(Process):
    """`gunicorn wsgi:app`, as in the Procfile, with an HTTP client at its address."""

    command = ("gunicorn", "wsgi:app")

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        port = str(free_port())
        super().__init__(folder, *options, PORT=port, **environment)
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False
