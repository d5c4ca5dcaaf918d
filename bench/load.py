"""Runs wrk, and reads what its scripts print at their end."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.processes import ROOT

SCRIPT = ROOT / "bench" / "requests.lua"
THREADS = 2


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk has seen; `errors` are failed connections and statuses above 399."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def requests_per_second(self) -> float:
        """The throughput."""
        return self.requests / self.seconds


def program() -> str:
    """Where wrk is; ends the program where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("This needs wrk on the PATH: the package `wrk` of Debian and of Homebrew.")
    return found


def run(
    url: str, requests: Path, key: str, connections: int, seconds: int, *, script: Path = SCRIPT
) -> Load:
    """Send the file's requests in turn, on so many connections, for so long."""
    options = {
        "--threads": str(min(THREADS, connections)),
        "--connections": str(connections),
        "--duration": f"{seconds}s",
        "--script": str(script),
    }
    done = subprocess.run(
        [program(), *chain.from_iterable(options.items()), url, "--", str(requests), key],
        capture_output=True,
        text=True,
        check=False,
    )
    _, found, result = done.stdout.partition("RESULT ")
    if not found:
        raise RuntimeError(f"wrk has failed:\n{done.stdout}{done.stderr}")
    return Load(**json.loads(result))
