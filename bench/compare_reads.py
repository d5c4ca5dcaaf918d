"""Serves the same products in several ways, one after the other, and prints them side by side.

`bench/reads` runs it; `bench/README.md` says what each contender does.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import fill, load, peers_venv
from bench.answers import ONE_PRODUCT, SCENARIOS, Answers, collect, difference, random_ids
from bench.contenders import EVERYONE, LIMITS, Contender, Ours
from bench.load import Load
from bench.watching import memory_mb
from tests.processes import BIN, ROOT

WARM_UP_SECONDS = 2

Kind = type[Contender]


class Comparison:
    """The contenders on one database."""

    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        self._folder = folder
        self._connections = chosen.connections
        self._seconds = chosen.seconds
        self._ids = random_ids(chosen.products)
        self._key = new_key()
        self.kinds = [kind for kind in EVERYONE if kind is Ours or _is_chosen(kind, chosen.only)]
        self.loads: dict[tuple[Kind, str], list[tuple[Load, float]]] = {}
        self._requests: dict[tuple[Kind, str], Path] = {}

    def prepare(self) -> None:
        """Collect everyone's answers; raise RuntimeError where they are not ours."""
        ours = Answers()
        for kind in self.kinds:
            if kind in LIMITS:
                self._expect(kind, Answers(requests={ONE_PRODUCT: [kind.products]}))
                continue
            with kind(self._place(kind, "asked")) as contender:
                found = collect(contender, self._ids, self._key)
            if kind is Ours:
                ours = found
            elif (where := difference(ours, found)) is not None:
                raise RuntimeError(f"{kind.name} answers something else: {where}")
            self._expect(kind, found)
            print(f"  {kind.name}: {len(found.products)} products, {len(found.pages)} pages")

    def _expect(self, kind: Kind, answers: Answers) -> None:
        for scenario in answers.requests:
            path = answers.write(self._place(kind, "requests"), scenario)
            self._requests[kind, scenario] = path
            self.loads[kind, scenario] = []

    def run_round(self, number: int) -> None:
        """Load everyone once, in turn."""
        for kind in self.kinds:
            with kind(self._place(kind, f"round-{number}")) as contender:
                for scenario in SCENARIOS:
                    if (kind, scenario) in self.loads:
                        self._load(contender, kind, scenario)

    def _load(self, contender: Contender, kind: Kind, scenario: str) -> None:
        requests = self._requests[kind, scenario]
        for seconds in (WARM_UP_SECONDS, self._seconds):
            seen = load.run(contender.url, requests, self._key, self._connections, seconds)
        if contender.process is None:
            raise RuntimeError(f"{kind.name} is gone")
        memory = memory_mb(contender.process)
        self.loads[kind, scenario].append((seen, memory))
        print(f"  {kind.name}, {scenario}: {seen.requests_per_second:,.0f}/s", flush=True)

    def _place(self, kind: Kind, purpose: str) -> Path:
        folder = self._folder / f"{kind.__name__}-{purpose}"
        folder.mkdir(exist_ok=True)
        return folder


def new_key() -> str:
    """A key as a shop gives to those who read its products."""
    make = [str(BIN / "flask"), "--app", "wsgi", "keys", "create", "--name", "bench"]
    return subprocess.check_output(
        [*make, "--scope", "products:read"], cwd=ROOT, stderr=subprocess.DEVNULL, text=True
    ).strip()


def _is_chosen(kind: Kind, only: Sequence[str]) -> bool:
    return not only or any(word.lower() in kind.name.lower() for word in only)


def report(found: Comparison) -> None:
    """Print a table per scenario; figures are medians of the rounds."""
    for scenario in SCENARIOS:
        runs = {kind: found.loads.get((kind, scenario), []) for kind in found.kinds}
        ours = median(load.requests_per_second for load, _ in runs[Ours])
        print(f"\n{scenario:26}{'req/s':>8}{'ours/this':>11}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}")
        for kind, seen in runs.items():
            if seen:
                print(f"{kind.name:26}{_line(seen, ours)}")


def _line(seen: Sequence[tuple[Load, float]], ours: float) -> str:
    loads = [load for load, _ in seen]
    rates = [load.requests_per_second for load in loads]
    p50, p99 = (median(getattr(load, name) for load in loads) for name in ("p50_ms", "p99_ms"))
    memory = median(memory for _, memory in seen)
    rounds = ", ".join(f"{rate:,.0f}" for rate in rates)
    errors = sum(load.errors for load in loads)
    line = f"{median(rates):8,.0f}{ours / median(rates):11.2f}{p50:8.1f}{p99:8.1f}{memory:6.0f}"
    return f"{line}   ({rounds})" + (f"  {errors} ERRORS" if errors else "")


def compare(folder: Path, chosen: argparse.Namespace) -> None:
    """Make and print the comparison."""
    subprocess.run([BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, check=True)
    print(f"Filling the tables with {chosen.products:,} products", flush=True)
    fill.grow_to(chosen.products)
    found = Comparison(folder, chosen)
    print("Comparing the answers", flush=True)
    found.prepare()
    for number in range(1, chosen.rounds + 1):
        print(f"Round {number} of {chosen.rounds}", flush=True)
        found.run_round(number)
    report(found)


def main(arguments: Sequence[str]) -> None:
    """Read the options, and compare."""
    parser = argparse.ArgumentParser(prog="bench/reads", description=__doc__)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10, help="per contender and scenario")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="beside ours, those with this name"
    )
    chosen = parser.parse_args(arguments)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each call
    load.program()  # before the tables are filled for nothing
    peers_venv.make()
    with tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder:
        compare(Path(folder), chosen)


if __name__ == "__main__":
    main(sys.argv[1:])
