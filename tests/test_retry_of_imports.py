"""A retry of an import does what was refused or left, once, and its counts stay true."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog import imports
from jobs import queue
from jobs.running import RunningJob
from models import Job, JSONObject, Product
from tests.importing import Importer, progress
from tests.stage import created


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "CHUNK_ROWS", 2)


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def lines(job: dict[str, Any]) -> list[int]:
    return [error["line"] for error in job["errors"]]


# p1 and p3 are new and have no names; one row of p5 is wrong for good.
CONTENT = "handle,name,option1_name,option1_value,price\n" + "".join(
    f"p{n},{'' if n in (1, 3) else 'P'},Size,S,1\np{n},,,L,{'free' if n == 5 else 2}\n"
    for n in range(7)
)
REFUSED = [4, 5, 8, 9, 13]
FIRST = progress(total=14, processed=14, created=5, failed=5)


def test_a_retry_does_again_what_was_refused_and_nothing_else(
    imported: Importer, admin: FlaskClient, session: Session
) -> None:
    first = imported(CONTENT)
    assert (lines(first), first["progress"]) == (REFUSED, FIRST)
    created(admin, handle="p1", name="Made meanwhile")
    admin.delete("/api/v1/products/p0")  # done before: a retry must not create it again

    again = imported.again(first["id"])

    assert again["status"] == "succeeded"
    assert lines(again) == [8, 9, 13]
    # p5, which was counted when it was created, is looked at again, and counts once.
    assert again["progress"] == progress(total=14, processed=14, created=5, updated=1, failed=3)
    assert admin.get("/api/v1/products/p0").status_code == 404
    assert session.scalar(select(Product.version).where(Product.handle == "p5")) == 1


def test_a_second_retry_takes_up_what_the_first_has_left(
    imported: Importer, admin: FlaskClient
) -> None:
    first = imported(CONTENT)
    created(admin, handle="p1", name="Made meanwhile")
    imported.again(first["id"])
    created(admin, handle="p3", name="Made later")

    again = imported.again(first["id"])
    last = imported.again(first["id"])

    assert lines(again) == lines(last) == [13]
    assert again["progress"] == last["progress"]
    assert again["progress"] == progress(total=14, processed=14, created=5, updated=2, failed=1)


def test_a_retry_that_only_creates_may_complete_what_it_has_created(
    imported: Importer, admin: FlaskClient
) -> None:
    created(admin, handle="p3", name="There already")
    first = imported(CONTENT, mode="create")
    assert lines(first) == [4, 5, 8, 9, 13]

    again = imported.again(first["id"])

    assert [(error["line"], error["code"]) for error in again["errors"]] == [
        (4, "required"),
        (5, "required"),
        (8, "exists"),
        (9, "exists"),
        (13, "not_a_number"),
    ]
    assert again["progress"] == first["progress"]


def test_an_import_that_stopped_goes_on_from_there(imported: Importer, admin: FlaskClient) -> None:
    first = imported(CONTENT, on_error="stop")
    assert first["progress"] == progress(total=14, processed=2, created=1, failed=2)

    still = imported.again(first["id"])
    created(admin, handle="p1", name="Made meanwhile")
    further = imported.again(first["id"])

    assert still["error"] == first["error"]
    assert (lines(still), still["progress"]) == ([4, 5], first["progress"])
    assert further["error"]["code"] == "stopped_at_error"
    assert lines(further) == [8, 9]
    assert further["progress"] == progress(total=14, processed=6, created=2, updated=1, failed=2)


def test_an_unreadable_file_is_looked_at_anew(imported: Importer, admin: FlaskClient) -> None:
    first = imported('handle,name\ntea,"Tea\n')

    again = imported.again(first["id"])

    assert (first["error"]["code"], again["error"]) == ("unclosed_quote", first["error"])
    assert again["attempts"] == 2


class Killed(BaseException):
    """Ends an attempt without a word."""


@pytest.fixture
def survived(
    imported: Importer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, int], dict[str, Any]]:
    """Do a job whose attempts all die after so many steps, until it is done."""
    step = RunningJob.step
    left = 0

    def dying(self: RunningJob, work: Any, *, checkpoint: JSONObject) -> None:
        nonlocal left
        step(self, work, checkpoint=checkpoint)
        left -= 1
        if not left:
            raise Killed

    def run(job_id: int, steps: int) -> dict[str, Any]:
        nonlocal left
        monkeypatch.setattr(RunningJob, "step", dying)
        for _ in range(50):
            left = steps
            try:
                return imported.run(job_id)
            except Killed:
                past = func.now() - timedelta(seconds=1)
                session.execute(update(Job).values(lease_until=past).where(Job.id == job_id))
                session.commit()
        raise AssertionError("it never ends")

    return run


@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize("options", [{}, {"dry_run": "true"}])
def test_attempts_that_die_again_and_again_count_everything_once(
    imported: Importer,
    survived: Callable[[int, int], dict[str, Any]],
    admin: FlaskClient,
    steps: int,
    options: dict[str, str],
) -> None:
    job = survived(imported.send(CONTENT, **options), steps)
    assert (lines(job), job["progress"]) == (REFUSED, FIRST)
    assert job["attempts"] > 2

    created(admin, handle="p1", name="Made meanwhile")
    imported.renew(job["id"])
    again = survived(job["id"], steps)

    assert lines(again) == [8, 9, 13]
    if options:
        told = [json.loads(line) for line in imported.result(job["id"]).splitlines()]
        assert sorted(change["handle"] for change in told) == [
            "p0",
            "p1",
            "p2",
            "p4",
            "p5",
            "p5",
            "p6",
        ]
    assert again["progress"]["processed"] == 14
    assert again["progress"]["failed"] == 3
    assert again["progress"]["updated"] == 1


def test_a_retry_that_was_canceled_leaves_the_rest_to_the_next(
    imported: Importer,
    admin: FlaskClient,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = imported(CONTENT)
    for handle in ("p1", "p3"):
        created(admin, handle=handle, name="Made meanwhile")
    imported.renew(first["id"])
    step = RunningJob.step

    def canceled_after_a_chunk(self: RunningJob, work: Any, *, checkpoint: JSONObject) -> None:
        step(self, work, checkpoint=checkpoint)
        if checkpoint["groups"]:
            queue.cancel(session, self.id)
            session.commit()

    monkeypatch.setattr(RunningJob, "step", canceled_after_a_chunk)
    halfway = imported.run(first["id"])
    monkeypatch.undo()
    last = imported.again(first["id"])

    assert (halfway["status"], lines(halfway)) == ("canceled", [8, 9, 13])
    assert (last["status"], lines(last)) == ("succeeded", [13])
    assert last["progress"] == progress(total=14, processed=14, created=5, updated=2, failed=1)
