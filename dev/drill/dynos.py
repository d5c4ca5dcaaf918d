"""Dynos: a command of the Procfile each, with a disk and an environment of its own."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil

from dev.services import free_port
from tests.processes import wait_for

BOOT_SECONDS = 60  # then Heroku gives up: R10
_KILLED_AFTER_SECONDS = 30.0
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Dyno:
    """A dyno from its start to its end; `folder` is its disk, and its log lies beside it."""

    def __init__(self, name: str, slug: Path, config: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.kind = name.partition(".")[0]
        self.port = free_port()
        self.boot_seconds = 0.0
        self.log = folder.with_name(f"{folder.name}.log")
        self._disk = folder
        command = commands(slug / "app")[self.kind]
        (self._disk / "tmp").mkdir(parents=True)
        shutil.copytree(slug / "app", self._disk / "app")
        self._started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = psutil.Popen(
                ["bash", "-c", command],
                cwd=self._disk / "app",
                env={**self._environment(slug), **config},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self, slug: Path) -> dict[str, str]:
        """What Heroku and its buildpack set, on the smallest dynos; nothing of this machine."""
        return {
            "DYNO": self.name,
            "PORT": str(self.port),
            "HOME": str(self._disk / "app"),
            "TMPDIR": str(self._disk / "tmp"),
            "PATH": f"{slug}/python/bin:{_PATH}",
            "PYTHONPATH": str(self._disk / "app"),
            "PYTHONUNBUFFERED": "true",
            "PYTHONHASHSEED": "random",
            "LANG": "C.UTF-8",
            "WEB_CONCURRENCY": "2",
            "FORWARDED_ALLOW_IPS": "*",
            "GUNICORN_CMD_ARGS": "--access-logfile -",
        }

    @property
    def ended(self) -> bool:
        """Whether its main process has."""
        return self.process.poll() is not None

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until it answers, or takes jobs. Raises AssertionError with its log."""
        try:
            wait_for(f"{self.name} is ready", lambda: self.ended or self._ready(), BOOT_SECONDS)
            if self.ended:
                raise AssertionError(f"{self.name} has ended")
        except AssertionError as error:
            error.add_note(self.output()[-4000:])
            raise
        self.boot_seconds = time.monotonic() - self._started

    def _ready(self) -> bool:
        if self.kind != "web":
            return " ready." in self.output()
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
            return True
        return False

    def run(self) -> tuple[str, float]:
        """Wait for the end of a command that ends by itself; what it printed, and its seconds."""
        status = self.process.wait()
        seconds = time.monotonic() - self._started
        self.wipe()
        if status != 0:
            raise AssertionError(f"{self.name} ended with {status}:\n{self.output()}")
        return self.output(), seconds

    def end(self) -> float:
        """SIGTERM to every process, twice, as Heroku may send it; how long the end took."""
        processes = [*self._processes()]
        began = time.monotonic()
        for _ in range(2):
            _signal(processes, signal.SIGTERM)
            time.sleep(0.1)
        _, alive = psutil.wait_procs(processes, timeout=_KILLED_AFTER_SECONDS)
        seconds = time.monotonic() - began
        _signal(alive, signal.SIGKILL)
        self.wipe()
        return seconds

    def kill(self) -> None:
        """SIGKILL to every process at once."""
        processes = [*self._processes()]
        _signal(processes, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=5)
        self.wipe()

    def wipe(self) -> None:
        """A dyno's disk goes with it."""
        shutil.rmtree(self._disk)

    def megabytes(self) -> float:
        """The memory of all its processes; what they share counts once, as it does there."""
        used = 0
        for process in self._processes():
            with suppress(psutil.Error):
                used += process.memory_full_info().pss
        return used / 1024**2

    def _processes(self) -> Iterator[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            yield from [self.process, *self.process.children(recursive=True)]


def commands(app: Path) -> dict[str, str]:
    """The commands of an app's Procfile, by the kind of process."""
    lines = (app / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
