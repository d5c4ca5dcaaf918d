"""One catalogue in every format that can be written: exported, and imported again.

Each format is imported three times in a round: as a dry run into empty tables, for the first
time, and once more when there is nothing left to change.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import tables, whole_path
from bench.tables import Contents
from bench.watching import Memory
from bench.whole_path import WholePath
from catalog.formats.detection import WRITABLE

FORMATS = (*WRITABLE, "json")
TARGETS = {"native": 0.6, "shopify": 0.5}  # of the rate of the database's own part
MEMORY_LIMIT_MB = 300
_EMPTY = Contents(0, 0, None)


@dataclass(slots=True)
class Measured:
    """A catalogue in one format, and the seconds of its imports, a number of each for a round."""

    name: str
    file: Path
    export_seconds: float
    rows: int = 0  # of the file: a product's images are rows of Shopify's, a JSON object is one
    dry: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # database's seconds / those of the first
    memory_mb: float = 0.0  # the worker's peak, of all its processes
    faults: list[str] = field(default_factory=list)

    def run(self, folder: Path, database_seconds: float, expected: Contents) -> None:
        """Import it in the three ways, with new processes; `expected` is what is to be stored."""
        tables.empty()
        with whole_path.running(folder) as shop, Memory(shop.worker) as memory:
            self.dry.append(whole_path.seconds(shop.import_(self.file, dry_run="true")))
            self._expect("a dry run writes nothing", tables.contents() == _EMPTY)
            first = shop.import_(self.file)
            self.rows = first["progress"]["total"]
            self.first.append(whole_path.seconds(first))
            self._expect("the contents agree", tables.contents() == expected)
            again = shop.import_(self.file)
            self.again.append(whole_path.seconds(again))
            counts = [again["progress"][name] for name in ("unchanged", "created", "updated")]
            self._expect("all is unchanged", counts == [expected.products, 0, 0])
        self.ratios.append(database_seconds / self.first[-1])
        self.memory_mb = max(self.memory_mb, memory.sum_mb)
        print(
            f"  {self.name}: dry run {self.dry[-1]:.1f} s, first {self.first[-1]:.1f} s,"
            f" again {self.again[-1]:.1f} s",
            flush=True,
        )

    def _expect(self, what: str, holds: bool) -> None:
        if not holds:
            self.faults.append(f"{self.name}: NOT true that {what}")


def exported(shop: WholePath, folder: Path, names: Sequence[str]) -> Iterator[Measured]:
    """Export what is stored in each of these formats; `json` is made of the objects of NDJSON."""
    for name in names:
        written = "ndjson" if name == "json" else name
        file = folder / f"catalogue.{name}"
        job = shop.export(written, file)
        if name == "json":
            objects = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            file.write_text(json.dumps(objects, ensure_ascii=False), encoding="utf-8")
        yield Measured(name, file, whole_path.seconds(job))


def report(found: Sequence[Measured]) -> None:
    """Print a table of all formats."""
    heading = f"{'export':>9}{'dry run':>9}{'first':>9}{'again':>9}{'rows/s':>9}"
    print(f"\n{'format':13}{'rows':>8}{heading}   database / first   MB")
    for one in found:
        times = [one.export_seconds, *map(median, (one.dry, one.first, one.again))]
        target = f" (at least {TARGETS[one.name]})" if one.name in TARGETS else ""
        print(
            f"{one.name:13}{one.rows:8}{''.join(f'{seconds:9.2f}' for seconds in times)}"
            f"{one.rows / median(one.first):9.0f}   {median(one.ratios):.2f}{target:15}"
            f"{one.memory_mb:5.0f}"
        )
    print(
        "Seconds of the jobs, medians of the rounds; the ratio is of the seconds in one round.\n"
        "A dry run and an import that changes nothing are to be faster than the first, and the\n"
        f"worker's processes to stay below {MEMORY_LIMIT_MB} MB."
    )
