"""Clean-up: what is kept for a time, goes when that is over; a little in each transaction."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

import events
from config import settings
from jobs.running import RunningJob, Step
from models import FileChunk, Job, JobError, JSONObject, StoredFile

KIND = "clean-up"
WEBHOOK_KIND = "webhook"
_CHUNKS_AT_ONCE = 32  # of half a MiB
_ROWS_AT_ONCE = 2000
# A file without a job is an upload that arrives, or one whose sender went away.
_UPLOAD_TAKES_AT_MOST = timedelta(days=1)  # so long lives the dyno that receives it


def run(job: RunningJob) -> JSONObject:
    """Delete what is due; returns how much of each kind that was."""
    return {
        "files_expired": _repeat(job, _expire_files),
        "file_chunks": _repeat(job, _delete_chunks),
        "job_errors": _repeat(job, _delete_errors),
        "jobs": _repeat(job, _delete_jobs),
        "files": _repeat(job, _delete_files),
        "events": _repeat(job, _forget_events),
    }


def _repeat(job: RunningJob, delete_some: Callable[[Session], int]) -> int:
    """Delete until nothing is left; one batch is one step of the job.

    None of them moves a checkpoint: an attempt that dies of the next one is to be counted.
    """
    total = 0
    while deleted := _one_step(job, delete_some):
        total += deleted
    return total


def _one_step(job: RunningJob, delete_some: Callable[[Session], int]) -> int:
    deleted = 0

    def work(session: Session) -> Step:
        nonlocal deleted
        deleted = delete_some(session)
        return Step(job.progress)

    job.step(work, checkpoint=job.checkpoint)
    return deleted


def _expire_files(session: Session) -> int:
    """Close the files of jobs that ended long ago, before their content goes.

    The jobs' rows are locked, as a retry does: it finds the file expired, or keeps it.
    """
    finished = (
        select(Job.file_id, Job.result_file_id)
        .where(_ended_before(settings.file_retention_days), _has_living_file())
        .limit(_ROWS_AT_ONCE)
        .with_for_update(skip_locked=True, of=Job)
    )
    ids = [file_id for row in session.execute(finished) for file_id in row if file_id]
    closed = update(StoredFile).where(StoredFile.id.in_(ids), StoredFile.expired_at.is_(None))
    return _count(session, closed.values(expired_at=func.now()).returning(StoredFile.id))


def _has_living_file() -> ColumnElement[bool]:
    file = or_(StoredFile.id == Job.file_id, StoredFile.id == Job.result_file_id)
    return exists().where(file, StoredFile.expired_at.is_(None))


def _delete_chunks(session: Session) -> int:
    key = tuple_(FileChunk.file_id, FileChunk.number)
    some = (
        select(FileChunk.file_id, FileChunk.number)
        .join(StoredFile, StoredFile.id == FileChunk.file_id)
        .where(or_(StoredFile.expired_at.is_not(None), _without_job()))
        .limit(_CHUNKS_AT_ONCE)
    )
    return _count(session, delete(FileChunk).where(key.in_(some)).returning(FileChunk.number))


def _delete_errors(session: Session) -> int:
    some = select(JobError.id).join(Job, Job.id == JobError.job_id).where(_is_due())
    some = some.limit(_ROWS_AT_ONCE)
    return _count(session, delete(JobError).where(JobError.id.in_(some)).returning(JobError.id))


def _delete_jobs(session: Session) -> int:
    without_errors = ~exists().where(JobError.job_id == Job.id)
    some = select(Job.id).where(_is_due(), without_errors).limit(_ROWS_AT_ONCE)
    return _count(session, delete(Job).where(Job.id.in_(some), _is_due()).returning(Job.id))


def _delete_files(session: Session) -> int:
    empty = ~exists().where(FileChunk.file_id == StoredFile.id)
    some = select(StoredFile.id).where(_without_job(), empty).limit(_ROWS_AT_ONCE)
    return _count(
        session, delete(StoredFile).where(StoredFile.id.in_(some)).returning(StoredFile.id)
    )


def _forget_events(session: Session) -> int:
    return events.forget(session, _ROWS_AT_ONCE)


def _is_due() -> ColumnElement[bool]:
    # Of clean-ups that went well there is nothing to be seen, of deliveries their own list.
    tidy = and_(Job.kind.in_((KIND, WEBHOOK_KIND)), Job.status == "succeeded")
    return or_(_ended_before(settings.job_retention_days), tidy)


def _ended_before(days: float) -> ColumnElement[bool]:
    return Job.finished_at < func.now() - timedelta(days=days)


def _without_job() -> ColumnElement[bool]:
    belongs = exists().where(Job.file_id == StoredFile.id) | exists().where(
        Job.result_file_id == StoredFile.id
    )
    return and_(~belongs, StoredFile.created_at < func.now() - _UPLOAD_TAKES_AT_MOST)


def _count(session: Session, statement: Any) -> int:
    return len(session.execute(statement).all())
