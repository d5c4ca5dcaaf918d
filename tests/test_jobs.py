"""The job engine: rows, leases, fencing and the sweep, against the real PostgreSQL and Redis."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError, InterfaceError
from sqlalchemy.orm import Session

import jobs.running
from catalog.tasks import import_catalogue
from config import settings
from errors import Conflict, Gone, NotFound, Unreadable
from jobs import queue, stopping
from jobs.caller import Caller, acting_for
from jobs.files import CHUNK_BYTES, FileReader
from jobs.running import (
    MAX_STALLS,
    LeaseLost,
    ResultFile,
    RunningJob,
    Step,
    TurnOver,
    claim,
    running,
)
from jobs.sweep import sweep
from models import FileChunk, Job, JobError, Product, StoredFile, db
from tests.stage import WAKEUPS
from tests.statements import close_connection, statements


@pytest.fixture
def broker() -> Iterator[Any]:
    """The Redis queue, empty."""
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(WAKEUPS)
        yield client


def queued(session: Session) -> Job:
    job = queue.enqueue(session, import_catalogue, "import")
    session.commit()
    return job


def claimed(session: Session) -> RunningJob:
    job = claim(queued(session).id)
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


def refused(*lines: int) -> list[dict[str, Any]]:
    where = {"column": "price", "value": "x", "code": "c", "detail": "d"}
    return [{"line": line, **where} for line in lines]


def error_lines(session: Session) -> list[int]:
    return list(session.scalars(select(JobError.line).order_by(JobError.line)))


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
    assert broker.llen(WAKEUPS) == 0

    session.commit()

    message = json.loads(broker.lindex(WAKEUPS, 0))
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
    assert broker.llen(WAKEUPS) == 0


def test_a_job_is_claimed_once_however_often_it_is_delivered(session: Session) -> None:
    job = queued(session)

    first, second = claim(job.id), claim(job.id)

    assert first is not None
    assert first.attempt == 1
    assert stored(session, job.id).status == "running"
    assert second is None


def test_a_claim_and_an_end_look_at_one_job_however_many_wait(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reads._MOST_PREPARED", 0)  # so that the statements show what they say
    # PostgreSQL plans by what it has seen: when it last looked, all jobs had ended.
    many = "INSERT INTO jobs (kind, task, status, finished_at) SELECT '', '', {} FROM {}"
    session.execute(text(many.format("'succeeded', now()", "generate_series(1, 2000)")))
    session.execute(text("ANALYZE jobs"))
    session.execute(text(many.format("'queued', NULL", "generate_series(1, 2000)")))
    job_id = queued(session).id
    db.engine.dispose()

    with statements() as sent, running(job_id):
        pass

    for statement in sent:
        plan = session.connection().exec_driver_sql(f"EXPLAIN {statement.sql}", statement.params)
        assert "using pk_jobs" in str(plan.all())
    assert len(sent) == 2


def test_a_job_that_is_not_due_is_not_claimed(session: Session) -> None:
    job = queued(session)
    job.run_at = func.now() + timedelta(hours=1)
    session.commit()

    assert claim(job.id) is None


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
    successor = claim(zombie.id)
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


def test_a_job_whose_connection_dies_is_left_to_another_attempt(session: Session) -> None:
    job_id = queued(session).id

    def use_a_connection_that_is_closed() -> None:
        close_connection(session)
        session.execute(text("SELECT 1"))

    with pytest.raises(InterfaceError), running(job_id):
        use_a_connection_that_is_closed()

    assert stored(session, job_id).status == "running"


def test_the_sweep_gives_an_orphan_to_another_attempt(session: Session, broker: Any) -> None:
    job = claimed(session)
    expire_lease(session, job.id)

    assert sweep(session) == 1

    assert stored(session, job.id).status == "queued"
    assert broker.llen(WAKEUPS) == 2  # the first wake-up, and the sweep's
    successor = claim(job.id)
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
    broker.delete(WAKEUPS)  # as if Redis had lost it
    assert sweep(session) == 0  # it may still be on its way

    job.publish_at = func.now()
    session.commit()
    assert sweep(session) == 1
    assert broker.llen(WAKEUPS) == 1

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
        assert claim(job.id) is not None
        session.commit()
    expire_lease(session, job.id)
    assert claim(job.id) is None, "a message that comes before the sweep begins one more"

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


def test_a_result_file_grows_by_steps_and_is_whole_at_the_end(session: Session) -> None:
    pieces = [b"heading\n", b"x" * CHUNK_BYTES, b"", b"y" * (2 * CHUNK_BYTES), b"end"]
    job_id = queued(session).id

    with running(job_id) as job:
        assert job is not None
        for number, piece in enumerate(pieces, 1):
            step = Step({}, output=piece)
            job.step(lambda _, step=step: step, checkpoint={"done": number})  # type: ignore[misc]
        job.result_file = ResultFile("products.csv", "text/csv")

    row = stored(session, job_id)
    file = session.get_one(StoredFile, row.result_file_id)
    content = b"".join(pieces)
    assert (file.filename, file.media_type) == ("products.csv", "text/csv")
    assert file.size_bytes == len(content)
    assert FileReader(file.id).read() == content
    lengths = select(func.octet_length(FileChunk.content)).order_by(FileChunk.number)
    assert list(session.scalars(lengths)) == [CHUNK_BYTES] * 3 + [len(content) % CHUNK_BYTES]


def test_a_stored_file_is_read_from_anywhere(session: Session) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"end"
    file_id = jobs.files.create(session)
    jobs.files.append(session, file_id, content)
    session.commit()
    reader = FileReader(file_id)

    for start in (0, 5, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1, len(content), 10**9):
        reader.seek(start)
        assert reader.read() == content[start:]


def test_a_result_file_without_a_line_is_still_a_file(session: Session) -> None:
    job_id = queued(session).id

    with running(job_id) as job:
        assert job is not None
        job.result_file = ResultFile("nothing.ndjson", "application/x-ndjson")

    file = session.get_one(StoredFile, stored(session, job_id).result_file_id)
    assert file.size_bytes == 0


def test_output_of_an_attempt_that_lost_its_lease_is_not_written(session: Session) -> None:
    zombie = claimed(session)
    zombie.step(lambda _: Step({}, output=b"one,"), checkpoint={"done": 1})
    expire_lease(session, zombie.id)
    row = claim(zombie.id)
    session.commit()
    assert row is not None
    successor = RunningJob(row)

    with pytest.raises(LeaseLost):
        zombie.step(lambda _: Step({}, output=b"two,"), checkpoint={"done": 2})
    successor.step(lambda _: Step({}, output=b"two"), checkpoint={"done": 2})

    file_id = stored(session, zombie.id).result_file_id
    assert file_id is not None
    assert FileReader(file_id).read() == b"one,two"


def test_output_of_a_step_that_is_repeated_is_written_once(session: Session) -> None:
    add_product("tea")(session)
    session.commit()
    job = claimed(session)
    works = iter([add_product("tea"), add_product("coffee")])

    def work(session: Session) -> Step:
        next(works)(session)
        return Step({}, output=b"line\n")

    job.step(work, checkpoint={"done": 1})

    file_id = stored(session, job.id).result_file_id
    assert file_id is not None
    assert FileReader(file_id).read() == b"line\n"
    assert session.scalar(select(func.count()).select_from(StoredFile)) == 1


def test_a_process_that_is_to_end_hands_its_job_back_at_once(
    session: Session, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(session)
    broker.delete(WAKEUPS)
    monkeypatch.setattr(stopping, "_asked", True)

    with pytest.raises(TurnOver):
        job.step(add_product("tea"), checkpoint={"groups": 1})

    row = stored(session, job.id)
    assert (row.status, row.checkpoint, row.stalls) == ("queued", {"groups": 1}, 0)
    assert session.scalars(select(Product.handle)).all() == ["tea"]
    assert broker.llen(WAKEUPS) == 1


def test_a_job_handed_back_during_a_long_reading_has_not_stalled(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(session)
    monkeypatch.setattr(stopping, "_asked", True)

    with pytest.raises(TurnOver):
        job.renew()

    assert (stored(session, job.id).status, stored(session, job.id).stalls) == ("queued", 0)


def test_a_long_reading_keeps_the_lease(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    job = claimed(session)
    before = stored(session, job.id).lease_until
    assert before is not None

    job.renew()
    assert stored(session, job.id).lease_until == before  # it is fresh enough

    monkeypatch.setattr(job, "_renew_at", 0)
    job.renew()
    after = stored(session, job.id)
    assert after.lease_until is not None
    assert after.lease_until > before
    assert after.stalls == 1


def test_a_long_reading_notices_that_the_job_was_canceled(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(session)
    queue.cancel(session, job.id)
    session.commit()
    monkeypatch.setattr(job, "_renew_at", 0)

    with pytest.raises(LeaseLost):
        job.renew()


def test_a_job_that_waits_is_canceled(session: Session) -> None:
    job = queued(session)

    row = queue.cancel(session, job.id)
    session.commit()

    assert row.status == "canceled"
    assert row.finished_at is not None
    assert claim(job.id) is None


def test_a_job_that_is_canceled_while_it_runs_keeps_what_it_has_done(session: Session) -> None:
    job = claimed(session)
    job.step(add_product("tea"), checkpoint={"groups": 1})

    queue.cancel(session, job.id)
    session.commit()
    with pytest.raises(LeaseLost):
        job.step(add_product("coffee"), checkpoint={"groups": 2})

    row = stored(session, job.id)
    assert (row.status, row.progress, row.lease_until) == ("canceled", {"processed": 1}, None)
    assert session.scalars(select(Product.handle)).all() == ["tea"]


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
def test_a_job_that_has_ended_cannot_be_canceled(session: Session, status: str) -> None:
    job = claimed(session)
    job.end(status)

    with pytest.raises(Conflict, match=status) as refusal:
        queue.cancel(session, job.id)

    assert refusal.value.error_code == "job_finished"


@pytest.mark.parametrize("change", [queue.cancel, queue.retry])
@pytest.mark.parametrize("job_id", [0, 2**63])
def test_no_job_of_that_id_can_be_changed(session: Session, change: Any, job_id: int) -> None:
    with pytest.raises(NotFound):
        change(session, job_id)


def test_a_retry_knows_what_was_done_before_it(session: Session, broker: Any) -> None:
    job = claimed(session)
    job.step(lambda _: Step({"processed": 3}, refused(2, 3, 3)), checkpoint={"groups": 3})
    job.end("failed", error={"code": "c", "detail": "d"})
    broker.delete(WAKEUPS)

    row = queue.retry(session, job.id)
    session.commit()

    assert (row.status, row.stalls, row.error, row.finished_at) == ("queued", 0, None, None)
    assert row.checkpoint == {"before": {"groups": 3}}
    assert broker.llen(WAKEUPS) == 1
    again = claim(job.id)
    assert again is not None
    assert again.attempt == 2
    assert RunningJob(again).retried_lines() == [2, 3]


def test_a_first_run_retries_nothing(session: Session) -> None:
    job = claimed(session)
    job.step(lambda _: Step({}, refused(2)), checkpoint={"groups": 1})

    assert job.retried_lines() == []


def test_a_step_of_a_retry_settles_what_was_refused_before(session: Session) -> None:
    job = claimed(session)
    job.step(lambda _: Step({}, refused(2, 3, 4)), checkpoint={"groups": 3})
    job.end("succeeded")
    queue.retry(session, job.id)
    session.commit()
    row = claim(job.id)
    assert row is not None
    again = RunningJob(row)

    again.step(
        lambda _: Step({}, refused(3), resolved=[2, 3]),
        checkpoint={**again.checkpoint, "groups": 1},
    )

    assert error_lines(session) == [3, 4]
    assert again.retried_lines() == [4]


@pytest.mark.parametrize(
    ("done", "before"),
    [
        ({}, {}),
        ({"groups": 1}, {"before": {"groups": 1}}),
        ({"before": {"groups": 1}}, {"before": {"groups": 1}}),
        ({"before": {"a": 1}, "groups": 2}, {"before": {"before": {"a": 1}, "groups": 2}}),
    ],
)
def test_a_retry_that_did_nothing_leaves_the_next_one_what_it_was_given(
    session: Session, done: dict[str, Any], before: dict[str, Any]
) -> None:
    job = claimed(session)
    job.step(lambda _: Step({}), checkpoint=done)
    job.end("failed")

    assert queue.retry(session, job.id).checkpoint == before


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
def test_what_goes_on_or_is_done_is_not_retried(session: Session, status: str) -> None:
    job_id = queued(session).id if status == "queued" else claimed(session).id
    if status == "succeeded":
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(status=status, lease_until=None, finished_at=func.now())
        )
        session.commit()

    with pytest.raises(Conflict) as refusal:
        queue.retry(session, job_id)

    code = "nothing_to_retry" if status == "succeeded" else "job_not_finished"
    assert refusal.value.error_code == code


@pytest.mark.parametrize("column", ["file_id", "result_file_id"])
def test_a_job_whose_file_has_expired_is_not_retried(session: Session, column: str) -> None:
    file = StoredFile(size_bytes=0, expired_at=func.now())
    session.add(file)
    session.flush()
    job = claimed(session)
    job.end("failed")
    session.execute(update(Job).where(Job.id == job.id).values({column: file.id}))
    session.commit()

    with pytest.raises(Gone) as refusal:
        queue.retry(session, job.id)

    assert refusal.value.error_code == "file_expired"


def test_an_attempt_from_before_a_cancel_and_a_retry_writes_nothing(session: Session) -> None:
    zombie = claimed(session)
    queue.cancel(session, zombie.id)
    session.commit()
    queue.retry(session, zombie.id)
    session.commit()

    with pytest.raises(LeaseLost):
        zombie.step(add_product("tea"), checkpoint={"groups": 1})
    row = claim(zombie.id)
    session.commit()
    assert row is not None
    with pytest.raises(LeaseLost):
        zombie.step(add_product("tea"), checkpoint={"groups": 1})
    with pytest.raises(LeaseLost):
        zombie.end("succeeded")
    RunningJob(row).step(add_product("coffee"), checkpoint={"groups": 1})

    assert session.scalars(select(Product.handle)).all() == ["coffee"]
