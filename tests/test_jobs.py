"""The job engine: rows, leases, fencing and the sweep, against the real PostgreSQL and Redis."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import jobs.running
from catalog.tasks import import_catalogue
from config import settings
from errors import Unreadable
from jobs import queue
from jobs.caller import Caller, acting_for
from jobs.running import LeaseLost, RunningJob, Step, TurnOver, claim, running
from jobs.sweep import MAX_STALLS, sweep
from models import Job, JobError, Product, StoredFile


@pytest.fixture
def broker() -> Iterator[Any]:
    """The Redis queue, empty."""
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete("celery")
        yield client


def queued(session: Session) -> Job:
    job = queue.enqueue(session, import_catalogue, "import")
    session.commit()
    return job


def claimed(session: Session) -> RunningJob:
    job = claim(session, queued(session).id)
    session.commit()
    assert job is not None
    return RunningJob(job)


def expire_lease(session: Session, job_id: int) -> None:
    past = func.now() - timedelta(seconds=1)
    session.execute(update(Job).where(Job.id == job_id).values(lease_until=past))
    session.commit()


def stored(session: Session, job_id: int) -> Job:
    return session.scalars(
        select(Job).where(Job.id == job_id).execution_options(populate_existing=True)
    ).one()


def fail(error: Exception) -> None:
    raise error


def add_product(handle: str) -> Any:
    def work(session: Session) -> Step:
        session.execute(text("INSERT INTO products (handle, name) VALUES (:h, :h)"), {"h": handle})
        return Step({"processed": 1})

    return work


def test_a_job_is_published_once_its_transaction_has_committed(
    session: Session, broker: Any
) -> None:
    with acting_for(Caller("a-request", "https://shop.example/", "admin")):
        job = queue.enqueue(session, import_catalogue, "import")
    assert broker.llen("celery") == 0

    session.commit()

    message = json.loads(broker.lindex("celery", 0))
    assert message["headers"]["task"] == "catalog.import"
    assert message["headers"]["argsrepr"] == f"[{job.id}]"
    assert message["headers"]["caller"] == {
        "request_id": "a-request",
        "base_url": "https://shop.example/",
        "key_id": "admin",
    }


def test_a_rolled_back_job_is_neither_stored_nor_published(session: Session, broker: Any) -> None:
    queue.enqueue(session, import_catalogue, "import")
    session.rollback()
    session.execute(text("SELECT 1"))
    session.commit()

    assert session.scalar(select(func.count()).select_from(Job)) == 0
    assert broker.llen("celery") == 0


def test_a_job_is_claimed_once_however_often_it_is_delivered(session: Session) -> None:
    job = queued(session)

    first, second = claim(session, job.id), claim(session, job.id)

    assert first is not None
    assert (first.status, first.attempt) == ("running", 1)
    assert second is None


def test_a_job_that_is_not_due_is_not_claimed(session: Session) -> None:
    job = queued(session)
    job.run_at = func.now() + timedelta(hours=1)
    session.commit()

    assert claim(session, job.id) is None


def test_a_step_commits_effects_progress_checkpoint_and_errors_together(session: Session) -> None:
    job = claimed(session)
    error = {"line": 2, "column": "price", "value": "x", "code": "c", "detail": "d"}

    def work(session: Session) -> Step:
        add_product("tea")(session)
        return Step({"processed": 1}, [error])

    job.step(work, checkpoint={"groups": 1})

    row = stored(session, job.id)
    assert (row.progress, row.checkpoint) == ({"processed": 1}, {"groups": 1})
    assert session.scalars(select(Product.handle)).all() == ["tea"]
    assert session.scalars(select(JobError.line)).all() == [2]


def test_an_attempt_that_lost_its_lease_can_write_nothing(session: Session) -> None:
    zombie = claimed(session)
    expire_lease(session, zombie.id)
    successor = claim(session, zombie.id)
    session.commit()
    assert successor is not None
    assert successor.attempt == 2

    with pytest.raises(LeaseLost):
        zombie.step(add_product("tea"), checkpoint={"groups": 1})
    with pytest.raises(LeaseLost):
        zombie.end("succeeded")

    assert session.scalars(select(Product.handle)).all() == []
    assert stored(session, zombie.id).status == "running"


def test_a_step_whose_commit_was_not_answered_is_not_done_twice(session: Session) -> None:
    job = claimed(session)
    before = (job.checkpoint, job.progress)
    job.step(add_product("tea"), checkpoint={"groups": 1})
    job.checkpoint, job.progress = before  # as if the answer to COMMIT had been lost

    with pytest.raises(LeaseLost):
        job.step(add_product("coffee"), checkpoint={"groups": 1})

    assert session.scalars(select(Product.handle)).all() == ["tea"]


def test_a_step_that_collides_is_repeated(session: Session) -> None:
    add_product("tea")(session)
    session.commit()
    job = claimed(session)
    works = iter([add_product("tea"), add_product("coffee")])

    job.step(lambda session: next(works)(session), checkpoint={"groups": 1})

    assert set(session.scalars(select(Product.handle))) == {"tea", "coffee"}


def test_a_step_that_cannot_succeed_is_given_up(session: Session) -> None:
    job = claimed(session)

    def violate_a_check(session: Session) -> Step:
        session.execute(text("INSERT INTO products (handle, name) VALUES ('a/b', 'x')"))
        return Step({})

    with pytest.raises(IntegrityError, match="ck_products_handle"):
        job.step(violate_a_check, checkpoint={})


def test_a_long_job_hands_itself_back_after_a_step(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.running, "TURN_SECONDS", 0)
    job = claimed(session)

    with pytest.raises(TurnOver):
        job.step(add_product("tea"), checkpoint={"groups": 1})

    row = stored(session, job.id)
    assert (row.status, row.checkpoint, row.lease_until) == ("queued", {"groups": 1}, None)
    assert session.scalars(select(Product.handle)).all() == ["tea"]


def test_a_finished_block_ends_the_job_with_its_result(session: Session) -> None:
    job_id = queued(session).id

    with running(job_id) as job:
        assert job is not None
        job.result = {"format": "native"}

    row = stored(session, job_id)
    assert (row.status, row.result, row.lease_until) == ("succeeded", {"format": "native"}, None)
    assert row.finished_at is not None


def test_a_known_error_is_the_jobs_reason(session: Session) -> None:
    job_id = queued(session).id

    with running(job_id):
        fail(Unreadable("Line 3: a quote is never closed.", code="unclosed_quote"))

    row = stored(session, job_id)
    assert row.status == "failed"
    assert row.error == {"code": "unclosed_quote", "detail": "Line 3: a quote is never closed."}


def test_a_crash_fails_the_job_without_telling_its_details(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = queued(session).id

    with running(job_id):
        fail(ZeroDivisionError("the secret of line 7"))

    row = stored(session, job_id)
    assert row.status == "failed"
    assert row.error is not None
    assert row.error["code"] == "internal_error"
    assert "secret" not in row.error["detail"]
    assert "the secret of line 7" in caplog.text


def test_the_sweep_gives_an_orphan_to_another_attempt(session: Session, broker: Any) -> None:
    job = claimed(session)
    expire_lease(session, job.id)

    assert sweep(session) == 1

    assert stored(session, job.id).status == "queued"
    assert broker.llen("celery") == 2  # the first wake-up, and the sweep's
    successor = claim(session, job.id)
    assert successor is not None
    assert successor.attempt == 2


def test_the_sweep_leaves_a_job_under_lease_alone(session: Session) -> None:
    job = claimed(session)

    assert sweep(session) == 0

    assert stored(session, job.id).status == "running"


def test_the_sweep_publishes_what_nobody_has_claimed_with_growing_pauses(
    session: Session, broker: Any
) -> None:
    job = queued(session)
    broker.delete("celery")  # as if Redis had lost it
    assert sweep(session) == 0  # it may still be on its way

    job.publish_at = func.now()
    session.commit()
    assert sweep(session) == 1
    assert broker.llen("celery") == 1

    job = stored(session, job.id)
    first_pause = job.publish_at
    job.publish_at = func.now()
    session.commit()
    assert sweep(session) == 1
    assert stored(session, job.id).publish_at - first_pause > timedelta(
        seconds=settings.sweep_seconds
    )


def test_a_job_that_never_completes_a_step_is_given_up_with_the_reason(session: Session) -> None:
    job = claimed(session)
    for _ in range(MAX_STALLS - 1):
        expire_lease(session, job.id)
        sweep(session)
        assert claim(session, job.id) is not None
        session.commit()
    expire_lease(session, job.id)

    sweep(session)

    row = stored(session, job.id)
    assert row.status == "failed"
    assert row.error is not None
    assert row.error["code"] == "attempts_exhausted"
    assert str(MAX_STALLS) in row.error["detail"]


def test_a_completed_step_makes_earlier_deaths_forgiven(session: Session) -> None:
    job = claimed(session)

    job.step(lambda _: Step({}), checkpoint={"groups": 1})

    assert stored(session, job.id).stalls == 0


def test_a_step_that_does_not_advance_forgives_nothing(session: Session) -> None:
    job = claimed(session)

    job.step(lambda _: Step({}), checkpoint=job.checkpoint)

    assert stored(session, job.id).stalls == 1


def test_one_sweep_runs_at_a_time(session: Session, app: Flask) -> None:
    job = claimed(session)
    expire_lease(session, job.id)
    with app.extensions["sqlalchemy"].engine.begin() as elsewhere:
        elsewhere.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x7075736863617274})

        assert sweep(session) == 0
        assert stored(session, job.id).status == "running"
        session.rollback()

    assert sweep(session) == 1


def test_the_sweep_deletes_uploads_whose_sender_went_away(session: Session) -> None:
    session.add_all(
        [
            StoredFile(filename="old-half", created_at=func.now() - timedelta(hours=2)),
            StoredFile(filename="new-half"),
            StoredFile(
                filename="old-whole", size_bytes=5, created_at=func.now() - timedelta(hours=2)
            ),
        ]
    )
    session.commit()

    sweep(session)

    assert set(session.scalars(select(StoredFile.filename))) == {"new-half", "old-whole"}
