"""The checker finds what it is there to find: each log here but the first holds one fault."""

from typing import Any

import pytest

from tests.faults.checker import Record, findings


def tried(operation: str, effect: str | None, status: int | None, version: int = 0) -> Record:
    answer = {"status": status, "id": 7, "version": version}
    return {"record": "try", "operation": operation, "subject": "tea", "effect": effect, **answer}


def product(version: int, effect: str, **other: Any) -> Record:
    there = {"id": 7, "version": version, "effect": effect, "variants": 1}
    return {"record": "product", "subject": "tea", **there, **other}


def sent(status: int | None, job_id: int = 3) -> Record:
    answer = {"status": status, "id": job_id, "version": None}
    return {"record": "try", "operation": "import", "subject": "f", "effect": "f", **answer}


def job(**other: Any) -> Record:
    progress = {"total": 4, "processed": 4, "created": 2, "updated": 0, "unchanged": 0, "failed": 0}
    there = {"id": 3, "status": "succeeded", "rows": 4, "progress": progress, "error": None}
    return {"record": "job", "subject": "f", **there, **other}


def counting(**other: int) -> Record:
    return job(progress=job()["progress"] | other)


def imported(number: int, version: int = 1, variants: int = 2) -> Record:
    return product(version, "", id=number, variants=variants, subject="f")


FAULT: Record = {"record": "fault", "fault": "kill -9"}
CREATED = [tried("create", "a", None), FAULT, tried("create", "a", 201, 1)]
CHANGED = [tried("patch", "b", 503), tried("patch", "b", 200, 2), tried("read", None, 200, 2)]
IMPORTED = [sent(None), sent(409), sent(202)]
FILE = [imported(1), imported(2)]


@pytest.mark.parametrize(
    "kept",
    [
        [],
        [*CREATED, *CHANGED, product(2, "b")],
        [*CREATED, tried("patch", "b", None), product(1, "a")],
        [*CREATED, tried("patch", "b", None), product(2, "b")],
        [*CREATED, tried("patch", "b", None), tried("patch", "c", 200, 3), product(3, "c")],
        [tried("create", "a", None)],
        [tried("create", "a", None), product(1, "a")],
        [*IMPORTED, job(), *FILE],
        [sent(None), job(), *FILE],
        [sent(None)],
    ],
)
def test_a_run_that_kept_its_promises_has_no_findings(kept: list[Record]) -> None:
    assert findings(kept) == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ([*CREATED], "acknowledged, and lost"),
        ([*CREATED, *CHANGED, product(1, "a")], "version 1 after 2 acknowledged"),
        ([*CREATED, *CHANGED, product(2, "a")], "the last change acknowledged is lost: b"),
        ([*CREATED, *CHANGED, product(3, "b")], "version 3 after 2 acknowledged changes of 2"),
        ([*CREATED, product(1, "a"), product(1, "a", id=8)], "is there 2 times"),
        ([*CREATED, product(1, "a", id=8)], "was acknowledged with another id"),
        (
            [*CREATED, tried("patch", "b", 200, 1), product(2, "b")],
            "two changes were acknowledged with one version: [1, 1]",
        ),
        (
            [*CREATED, *CHANGED, tried("patch", "c", None), product(3, "a")],
            "shows a, which was overwritten",
        ),
        ([*CREATED, product(1, "x")], "shows x, which was overwritten or never sent"),
        ([*CREATED, *CHANGED, tried("read", None, 200, 1), product(2, "b")], "read version 1"),
        ([*CREATED, tried("read", None, 404), product(1, "a")], "not found after version 1"),
        ([*CREATED, tried("patch", "b", 500), product(1, "a")], "patch 500"),
        ([product(1, "a")], "nobody asked for it"),
        ([*IMPORTED], "its acknowledged job is lost"),
        ([*IMPORTED, job(), job(id=4), *FILE], "2 jobs for one file"),
        ([*IMPORTED, job(status="running"), *FILE], "job 3 is running"),
        ([*IMPORTED, job(status="failed", error="why"), *FILE], "job 3 is failed: why"),
        ([*IMPORTED, counting(unchanged=1), *FILE], "job 3 counts"),
        ([*IMPORTED, counting(processed=6), *FILE], "job 3 counts"),
        ([*IMPORTED, job(), imported(1)], "1 products of 2 created"),
        ([*IMPORTED, job(), *FILE, imported(3)], "3 products of 2 created"),
        ([*IMPORTED, job(), imported(1), imported(2, version=2)], "product 2"),
        ([*IMPORTED, job(), imported(1), imported(2, variants=1)], "product 2"),
        ([sent(None), imported(1)], "has products, but no job"),
    ],
)
def test_each_broken_promise_is_found(broken: list[Record], told: str) -> None:
    assert any(told in finding for finding in findings(broken)), findings(broken)
