"""Schedules: one job each time, however many workers ask."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from catalog.tasks import import_catalogue
from jobs import cleanup, schedules
from jobs.sweep import sweep
from models import Job, Schedule, db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def digest(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One schedule, that no worker has seen yet."""
    monkeypatch.setattr(schedules, "_declared", {})
    schedules.declare("digest", HOUR, import_catalogue)
    session.execute(delete(Schedule))
    session.commit()
    yield
    session.execute(delete(Schedule))
    session.commit()


def make_due(session: Session, since: timedelta = timedelta(0)) -> None:
    session.execute(update(Schedule).values(due_at=func.now() - since))
    session.commit()


def jobs(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Job)) or 0


def minutes_left(session: Session) -> float:
    left = session.scalar(select(func.extract("epoch", Schedule.due_at - func.now())))
    return float(left or 0) / 60


def test_the_first_job_comes_after_one_interval(session: Session) -> None:
    sweep(session)

    assert jobs(session) == 0
    assert minutes_left(session) == pytest.approx(60, abs=1)


def test_a_schedule_that_is_due_puts_one_job_in(session: Session) -> None:
    sweep(session)
    make_due(session)

    sweep(session)
    sweep(session)

    job = session.scalars(select(Job)).one()
    assert (job.kind, job.task, job.status) == ("digest", "catalog.import", "queued")
    assert minutes_left(session) == pytest.approx(60, abs=1)


def test_rounds_missed_while_no_worker_ran_are_made_up_by_one_that_keeps_the_time(
    session: Session,
) -> None:
    sweep(session)
    make_due(session, since=timedelta(hours=5, minutes=20))

    sweep(session)
    sweep(session)

    assert jobs(session) == 1
    assert minutes_left(session) == pytest.approx(40, abs=1)


def test_many_workers_put_one_job_in(app: Flask, session: Session) -> None:
    sweep(session)
    make_due(session)

    def enqueue_due(_: int) -> None:
        with app.app_context():
            schedules.enqueue_due(db.session())
            db.session.commit()

    with ThreadPoolExecutor(3) as workers:
        list(workers.map(enqueue_due, range(12)))

    assert jobs(session) == 1


def test_clean_up_comes_every_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert schedules._declared[cleanup.KIND].every == HOUR
