"""Real processes for the tests: gunicorn and Celery as the Procfile starts them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
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
    ready_seconds: ClassVar[float] = 60  # on a machine that does much else

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.log = folder / "log"
        self._options = options
        self._environment = {**os.environ, **environment}
        self._started_at = 0  # where in the log this start begins
        self.process: psutil.Popen | None = None

    def start(self) -> None:
        """Start, and return once it is ready; one that does not become so is stopped again."""
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = psutil.Popen(
                [str(BIN / self.command[0]), *self.command[1:], *self._options],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(f"{self.command[0]} is ready", self._ended_or_ready, self.ready_seconds)
            assert self.process.poll() is None, f"{self.command[0]} has ended"
        except BaseException as error:
            error.add_note(self.output()[self._started_at :])
            self.stop()
            raise

    def _ended_or_ready(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or self.is_ready()

    def is_ready(self) -> bool:
        """Whether it can be given work."""
        raise NotImplementedError

    def output(self) -> str:
        """Everything it has printed."""
        return self.log.read_bytes().decode("ascii", "replace")

    def processes(self) -> list[psutil.Process]:
        """The process, and after it its children."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def pids(self) -> list[int]:
        """The process ids of all of them."""
        return [process.pid for process in self.processes()]

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, as Heroku does to a dyno's."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a child may end by itself, or by its parent
                process.send_signal(number)

    def kill(self) -> None:
        """`kill -9` for the process and its children, all at once."""
        self.signal_all(signal.SIGKILL)
        assert self.process is not None
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
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
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
