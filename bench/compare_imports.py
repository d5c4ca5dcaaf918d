"""Imports one catalogue in three ways, and in every format, and prints them side by side.

`bench/imports` runs it; `bench/README.md` says what each contender does and what must hold.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from flask import Flask

from bench import catalogue, database_only, every_format, tables, usual_way, whole_path
from bench.every_format import FORMATS, Measured
from bench.tables import Contents
from bench.watching import Memory, Reader
from tests.processes import BIN, ROOT
from wsgi import app as pushcart


@dataclass(slots=True)
class Contender:
    """A way to import, with the seconds of each of its runs and what it has left in the tables."""

    name: str
    rows: int
    seconds: list[float] = field(default_factory=list)
    contents: list[Contents] = field(default_factory=list)

    @property
    def rows_per_second(self) -> float:
        """The median of its runs."""
        return self.rows / median(self.seconds)


@dataclass(frozen=True, slots=True)
class Watched:
    """An import by the whole path, and what was seen meanwhile."""

    seconds: float
    reader: Reader
    memory: Memory


class Comparison:
    """The three contenders on one file, and every format of its contents."""

    def __init__(self, folder: Path, rows: int, usual_rows: int, pause_seconds: float) -> None:
        self._folder = folder
        self._file = folder / "catalogue.csv"
        self._pause_seconds = pause_seconds
        with self._file.open("w", encoding="utf-8", newline="") as target:
            catalogue.write(target, rows)
        self._chunks = database_only.parsed(self._file)
        first = usual_way.first_rows(self._file, usual_rows)
        self._first_products = len({row["handle"] for row in first})
        self.whole = Contender("whole path", rows)
        self.database = Contender("database only", rows)
        self.usual = Contender("usual way", len(first))
        self.beginnings: list[Contents] = []  # of each contender, the products of the usual way
        self.formats: list[Measured] = []
        self.watched: Watched

    def export(self, formats: Sequence[str]) -> None:
        """Import the file, and export it in each of these formats for the rounds."""
        tables.empty()
        with whole_path.running(self._folder / "export") as shop:
            shop.import_(self._file)
            self.formats += every_format.exported(shop, self._folder, formats)

    def run_round(self) -> None:
        """Run the whole path, then the database's part of it, then the whole path by format."""
        folder = self._folder / f"round-{len(self.whole.seconds)}"
        tables.empty()
        with whole_path.running(folder) as shop:
            self._note(self.whole, whole_path.seconds(shop.import_(self._file)))
        tables.empty()
        seconds = database_only.run(self._chunks)
        self._note(self.database, seconds)
        for one in self.formats:
            one.run(folder / one.name, seconds, self.whole.contents[0])

    def run_watched(self) -> None:
        """Run the whole path once more, with a reader beside it and an eye on its memory."""
        tables.empty()
        with whole_path.running(self._folder / "watched") as shop:
            products = Reader(f"{shop.url}/api/v1/products?limit=25", self._pause_seconds)
            with products, Memory(shop.worker) as memory:
                job = shop.import_(self._file)
        self.watched = Watched(whole_path.seconds(job), products, memory)

    def run_usual_way(self) -> None:
        """Run the usual way, once, on the beginning of the file."""
        tables.empty()
        self._note(self.usual, usual_way.run(self._file, self.usual.rows))

    def _note(self, contender: Contender, seconds: float) -> None:
        contender.seconds.append(seconds)
        contender.contents.append(tables.contents())
        self.beginnings.append(tables.contents(self._first_products))
        print(f"  {contender.name}: {seconds:.1f} s", flush=True)

    def agrees(self) -> bool:
        """Whether all have left the same in the tables, and no format had a fault."""
        same = len({*self.whole.contents, *self.database.contents}) == len({*self.beginnings}) == 1
        return same and not any(one.faults for one in self.formats)


def report(found: Comparison) -> None:
    """Print the table, then what was seen while the whole path ran."""
    whole, database, usual = found.whole, found.database, found.usual
    print(f"\n{'':14}{'rows':>8}{'seconds':>10}{'rows/s':>9}   whole path / this")
    for one, target in ((whole, ""), (database, "at least 0.6"), (usual, "at least 10")):
        ratio = whole.rows_per_second / one.rows_per_second
        line = f"{one.name:14}{one.rows:8}{median(one.seconds):10.2f}{one.rows_per_second:9.0f}"
        print(f"{line}   {ratio:.2f}" + (f"  ({target})" if target else ""))
    print("Seconds are medians of the runs:")
    for one in (whole, database):
        print(f"  {one.name}: {', '.join(f'{seconds:.2f}' for seconds in one.seconds)}")
    print(
        "\nOnce more with a reader of /api/v1/products?limit=25 beside it:"
        f" {found.watched.seconds:.1f} s\n"
        f"  {_reading(found.watched)}\n  the worker's peak memory: {_memory(found.watched)}"
    )
    every_format.report(found.formats)
    print(f"\n{_contents(found)}")


def _reading(run: Watched) -> str:
    reader = run.reader
    times = f"p50 {reader.percentile_ms(50):.1f} ms, p99 {reader.percentile_ms(99):.1f} ms"
    largest = f"max {max(reader.latencies_ms):.0f} ms"
    return f"{len(reader.latencies_ms)} calls, {reader.not_ok} not 200, {times}, {largest}"


def _memory(run: Watched) -> str:
    memory = run.memory
    return f"{memory.sum_mb:.0f} MB in all processes, {memory.largest_mb:.0f} MB in the largest"


def _contents(found: Comparison) -> str:
    if not found.agrees():
        faults = [fault for one in found.formats for fault in one.faults]
        seen = {*found.whole.contents, *found.database.contents, *found.beginnings}
        return "\n".join([f"The results DISAGREE: {seen}", *faults])
    all_rows, beginning = found.whole.contents[0], found.beginnings[0]
    return (
        f"The results agree: {all_rows.products} products, {all_rows.variants} variants,"
        f" checksum {all_rows.checksum}; every format's too,"
        f" and the usual way's first {beginning.products} products."
    )


def compare(app: Flask, folder: Path, chosen: argparse.Namespace) -> bool:
    """Make and print the comparison; whether the results agree."""
    print(f"Preparing {chosen.rows} rows", flush=True)
    subprocess.run([BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, check=True)
    with app.app_context():
        found = Comparison(folder, chosen.rows, chosen.usual_rows, chosen.pause)
        found.export(chosen.formats)
        for number in range(chosen.rounds):
            print(f"Round {number + 1} of {chosen.rounds}", flush=True)
            found.run_round()
        found.run_watched()
        found.run_usual_way()
    report(found)
    return found.agrees()


def main(arguments: Sequence[str]) -> int:
    """Return 1 if the contenders have stored different things."""
    parser = argparse.ArgumentParser(prog="bench/imports", description=__doc__)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each of the reader's calls
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--usual-rows", type=int, default=5_000, help="for the usual way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=FORMATS)
    parser.add_argument(
        "--pause", type=float, default=0.02, help="seconds between the reader's calls"
    )
    with tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder:
        return 0 if compare(pushcart, Path(folder), parser.parse_args(arguments)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
