"""Watches the app while it works: how fast it answers a reader, how much memory a worker takes.

Each watcher is a thread that repeats one observation from `with` to its end.
"""

import time
from abc import ABC, abstractmethod
from statistics import quantiles
from threading import Event, Thread
from typing import Self

import httpx
import psutil


class Watcher(ABC):
    """Repeats an observation, with a pause between two."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._ended = Event()
        self._thread = Thread(target=self._run, daemon=True)

    @abstractmethod
    def observe(self) -> None:
        """Look once."""

    def _run(self) -> None:
        while not self._ended.wait(self._pause_seconds):
            self.observe()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Reader(Watcher):
    """A client that calls an address again and again; every answer but 200 is counted."""

    def __init__(self, url: str, pause_seconds: float) -> None:
        super().__init__(pause_seconds)
        self._url = url
        self._client = httpx.Client(timeout=30)
        self.latencies_ms: list[float] = []
        self.not_ok = 0

    def observe(self) -> None:
        """Make one call."""
        start = time.perf_counter()
        try:
            ok = self._client.get(self._url).status_code == httpx.codes.OK
        except httpx.TransportError:
            ok = False
        self.latencies_ms.append((time.perf_counter() - start) * 1000)
        self.not_ok += not ok

    def percentile_ms(self, percent: int) -> float:
        """The latency that `percent` of the calls stayed below; needs two calls."""
        return quantiles(self.latencies_ms, n=100, method="inclusive")[percent - 1]


class Memory(Watcher):
    """The highest proportional memory (PSS) of a process and its children, in MB (10⁶ bytes).

    Pages that processes share are split among them: the sum is what the machine gives away.
    """

    def __init__(self, process: psutil.Process, pause_seconds: float = 0.05) -> None:
        super().__init__(pause_seconds)
        self._process = process
        self.largest_mb = 0.0
        self.sum_mb = 0.0

    def observe(self) -> None:
        """Look at all of them."""
        sizes = [_memory_mb(process) for process in _family(self._process)]
        self.largest_mb = max(self.largest_mb, *sizes)
        self.sum_mb = max(self.sum_mb, sum(sizes))


def memory_mb(process: psutil.Process) -> float:
    """The proportional memory of a process and its children now, in MB (10⁶ bytes)."""
    return sum(_memory_mb(member) for member in _family(process))


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _memory_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0
