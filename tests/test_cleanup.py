"""Clean-up: what is deleted when, in small transactions, and what stays."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from catalog.tasks import import_catalogue
from config import settings
from errors import Gone
from jobs import cleanup, queue
from jobs.files import CHUNK_BYTES, append, create
from jobs.running import RunningJob
from jobs.tasks import clean_up
from models import FileChunk, Job, JobError, StoredFile

DAY = timedelta(days=1)
FILES_KEPT = timedelta(days=settings.file_retention_days)
JOBS_KEPT = timedelta(days=settings.job_retention_days)


def file(session: Session, name: str, age: timedelta = JOBS_KEPT, size: int = 5) -> int:
    file_id = create(session)
    append(session, file_id, b"x" * size)
    session.execute(
        update(StoredFile)
        .where(StoredFile.id == file_id)
        .values(filename=name, size_bytes=size, created_at=func.now() - age)
    )
    return file_id


def ended(session: Session, age: timedelta, **fields: Any) -> int:
    """A job that ended so long ago."""
    values = {"kind": "import", "task": "catalog.import", "status": "succeeded", **fields}
    job = insert(Job).values(finished_at=func.now() - age, **values).returning(Job.id)
    job_id = session.execute(job).scalar_one()
    session.commit()
    return job_id


def refuse(session: Session, job_id: int, rows: int) -> None:
    error = {"job_id": job_id, "code": "c", "detail": "d"}
    session.execute(insert(JobError), [{**error, "line": line} for line in range(rows)])
    session.commit()


def clean(session: Session) -> dict[str, int]:
    job_id = queue.enqueue(session, clean_up, cleanup.KIND).id
    session.commit()
    clean_up(job_id)
    job = queue.find(job_id)
    assert job.status == "succeeded"
    deleted: dict[str, int] = job.result
    return deleted


def names_with_content(session: Session) -> set[str | None]:
    return set(session.scalars(select(StoredFile.filename).join(FileChunk).distinct()))


def all_names(session: Session) -> set[str | None]:
    return set(session.scalars(select(StoredFile.filename)))


def test_files_of_ended_jobs_lose_their_content_after_their_time(session: Session) -> None:
    old, new = FILES_KEPT + DAY, FILES_KEPT - DAY
    job_id = ended(session, old, file_id=file(session, "old-upload"))
    ended(session, old, status="failed", result_file_id=file(session, "old-partial-result"))
    ended(session, new, file_id=file(session, "upload"), result_file_id=file(session, "result"))
    waiting = queue.enqueue(session, import_catalogue, "import", file_id=file(session, "waiting"))
    session.commit()

    deleted = clean(session)

    assert names_with_content(session) == {"upload", "result", "waiting"}
    assert all_names(session) >= {"old-upload", "old-partial-result"}
    assert (deleted["files_expired"], deleted["file_chunks"]) == (2, 2)
    assert queue.find(waiting.id).status == "queued"
    session.execute(update(Job).where(Job.id == job_id).values(status="failed"))
    session.commit()
    with pytest.raises(Gone):
        queue.retry(session, job_id)


def test_jobs_go_after_their_time_with_all_that_is_theirs(session: Session) -> None:
    old = JOBS_KEPT + DAY
    gone = ended(session, old, file_id=file(session, "a"), result_file_id=file(session, "b"))
    kept = ended(session, JOBS_KEPT - DAY, file_id=file(session, "c"))
    refuse(session, gone, 3)
    refuse(session, kept, 2)

    deleted = clean(session)

    assert set(session.scalars(select(Job.id).where(Job.kind == "import"))) == {kept}
    assert set(session.scalars(select(JobError.job_id))) == {kept}
    assert all_names(session) == {"c"}
    assert (deleted["job_errors"], deleted["jobs"], deleted["files"]) == (3, 1, 2)


def test_files_without_a_job_go_once_no_upload_takes_so_long(session: Session) -> None:
    file(session, "left behind", timedelta(hours=25))
    session.add(StoredFile(filename="half", created_at=func.now() - timedelta(hours=25)))
    file(session, "arriving", timedelta(hours=23))
    session.commit()

    clean(session)

    assert all_names(session) == {"arriving"}


def test_a_result_that_takes_longer_than_an_upload_is_left_alone(session: Session) -> None:
    """It has no size yet, as a half upload has none."""
    job = queue.enqueue(session, import_catalogue, "export")
    job.result_file_id = file(session, "growing", timedelta(hours=25))
    session.execute(update(StoredFile).values(size_bytes=None))
    session.commit()

    clean(session)

    assert names_with_content(session) == {"growing"}


def test_much_is_deleted_a_little_at_a_time(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(cleanup, "_CHUNKS_AT_ONCE", 2)
    for _ in range(3):
        job_id = ended(session, JOBS_KEPT + DAY, file_id=file(session, "big", size=CHUNK_BYTES + 1))
        refuse(session, job_id, 3)
    steps: list[Any] = []
    step = RunningJob.step

    def noted(job: RunningJob, work: Any, *, checkpoint: Any) -> None:
        steps.append(checkpoint)
        step(job, work, checkpoint=checkpoint)

    monkeypatch.setattr(RunningJob, "step", noted)

    deleted = clean(session)

    assert deleted == {
        "files_expired": 3,
        "file_chunks": 6,
        "job_errors": 9,
        "jobs": 3,
        "files": 3,
        "events": 0,
    }
    assert len(steps) == sum(-(-n // 2) + (n % 2 == 0) for n in deleted.values()) + 4
    # None of them forgives an attempt that dies of the next one.
    assert all(checkpoint == {} for checkpoint in steps)


def test_a_clean_up_leaves_no_trace_of_those_that_went_well(session: Session) -> None:
    clean(session)
    ended(session, DAY, kind=cleanup.KIND, status="failed")
    clean(session)

    statuses = session.scalars(select(Job.status).order_by(Job.id)).all()
    assert statuses == ["failed", "succeeded"]
