"""Proves from a soak's log that nothing acknowledged was lost and nothing happened twice.

The log is NDJSON, a record a line, told apart by `record`:

- `try`: a request: `client`, `operation` (create, put, patch, import, read), `subject` (the name of
  the one product or file it is about), `effect` (a text of its own for each change; repeats of a
  request share it), `status` (null: no answer came), and from the answer `id` and `version`;
- `fault`: what was done to whom; the checker only counts them;
- `product`, `job`: what stood in the database at the end, when all was quiet again.

`python -m tests.faults.checker FILE` prints each finding and ends with 1 if there are any.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]

# What a client may be told while things go wrong; none of it acknowledges anything.
PUT_OFF = {None, 409, 503}
ROWS_EACH = 2  # of an imported product: its variants


@dataclass
class Subject:
    """All that was said of one product or file, and what was found of it."""

    tries: list[Record] = field(default_factory=list)
    products: list[Record] = field(default_factory=list)
    jobs: list[Record] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Record]:
        """The first answer that acknowledged each effect, in their order."""
        first: dict[str, Record] = {}
        for each in self.tries:
            if each["operation"] != "read" and _ok(each):
                first.setdefault(each["effect"], each)
        return list(first.values())

    @property
    def effects(self) -> set[str]:
        """Every change that was ever asked for."""
        return {each["effect"] for each in self.tries if each["operation"] != "read"}


def findings(records: Iterable[Record]) -> list[str]:
    """Everything in the log that must not be; empty for a run that kept its promises."""
    subjects: dict[str, Subject] = defaultdict(Subject)
    found: list[str] = []
    for record in records:
        if record["record"] == "fault":
            continue
        subject = subjects[record["subject"]]
        if record["record"] == "try":
            subject.tries.append(record)
            if not _ok(record) and record["status"] not in PUT_OFF:
                found.append(f"{record['subject']}: {record['operation']} {record['status']}")
        elif record["record"] == "product":
            subject.products.append(record)
        else:
            subject.jobs.append(record)
    for name, subject in subjects.items():
        check = _file if _is_file(subject) else _product
        found += [f"{name}: {fault}" for fault in check(subject)]
    return found


def _ok(record: Record) -> bool:
    return record["status"] is not None and 200 <= record["status"] < 300


def _is_file(subject: Subject) -> bool:
    return bool(subject.jobs) or any(each["operation"] == "import" for each in subject.tries)


def _product(subject: Subject) -> Iterator[str]:
    """A product is written by one client, one change after the other."""
    if not subject.tries:
        yield "nobody asked for it"
        return
    acknowledged = subject.acknowledged
    if len(subject.products) > 1:
        yield f"is there {len(subject.products)} times"
    elif subject.products:
        yield from _versions(subject, acknowledged, subject.products[0])
    elif acknowledged:
        yield "acknowledged, and lost"
    yield from _reads(subject.tries)


def _versions(subject: Subject, acknowledged: Sequence[Record], product: Record) -> Iterator[str]:
    version = product["version"]
    if not len(acknowledged) <= version <= len(subject.effects):
        yield (
            f"version {version} after {len(acknowledged)} acknowledged changes"
            f" of {len(subject.effects)}"
        )
    if {each["id"] for each in acknowledged} - {product["id"]}:
        yield "was acknowledged with another id"
    told = [each["version"] for each in acknowledged]
    if any(later <= earlier for earlier, later in pairwise(told)):
        yield f"two changes were acknowledged with one version: {told}"
    if told and version == told[-1] and product["effect"] != acknowledged[-1]["effect"]:
        yield f"the last change acknowledged is lost: {acknowledged[-1]['effect']}"
    if product["effect"] not in subject.effects - _overwritten(acknowledged):
        yield f"shows {product['effect']}, which was overwritten or never sent"


def _overwritten(acknowledged: Sequence[Record]) -> set[str]:
    return {each["effect"] for each in acknowledged[:-1]}


def _reads(tries: Sequence[Record]) -> Iterator[str]:
    """Whoever was told of a change sees it, from then on."""
    least = 0
    for each in tries:
        if each["operation"] == "read" and each["status"] == 404 and least:
            yield f"not found after version {least} was acknowledged"
        if _ok(each):
            if each["operation"] == "read" and each["version"] < least:
                yield f"read version {each['version']} after {least} was acknowledged"
            least = max(least, each["version"])


def _file(subject: Subject) -> Iterator[str]:
    """A file is sent by one client with one Idempotency-Key, again and again until it is taken."""
    acknowledged = {each["id"] for each in subject.acknowledged}
    if len(subject.jobs) > 1:
        yield f"{len(subject.jobs)} jobs for one file"
    if acknowledged - {job["id"] for job in subject.jobs}:
        yield "its acknowledged job is lost"
    for job in subject.jobs:
        yield from _job(job)
        expected = job["progress"].get("created", 0)
        if len(subject.products) != expected:
            yield f"{len(subject.products)} products of {expected} created"
    if subject.products and not subject.jobs:
        yield "has products, but no job"
    for product in subject.products:
        if (product["version"], product["variants"]) != (1, ROWS_EACH):
            yield f"product {product['id']}: {product['version']=}, {product['variants']=}"


def _job(job: Record) -> Iterator[str]:
    if job["status"] != "succeeded":
        yield f"job {job['id']} is {job['status']}: {job['error']}"
        return
    rows, progress = job["rows"], job["progress"]
    once = {"total": rows, "processed": rows, "created": rows // ROWS_EACH}
    once |= {"updated": 0, "unchanged": 0, "failed": 0}
    counted = {name: progress.get(name) for name in once}
    if counted != once:
        yield f"job {job['id']} counts {counted}"


def read_log(path: Path) -> Iterator[Record]:
    """The records of a log."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def main(path: str) -> int:
    """Print what is wrong; the number of findings, at most 1."""
    found = findings(read_log(Path(path)))
    print(*found or ["nothing lost, nothing twice"], sep="\n")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
