"""Putting a job in, and waking a worker for it.

A job is a row, written in the transaction of what caused it. Celery carries its id as a wake-up
and may lose it, repeat it or be away: `jobs.sweep` publishes again whatever nobody has claimed.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Task, current_app
from kombu.exceptions import OperationalError
from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    case,
    event,
    exists,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from config import settings
from errors import Conflict, Gone, NotFound, PushcartError
from jobs import caller
from models import Job, JobError, JSONObject, StoredFile
from reads import Filters, bounds, passing, read, read_page
from values import MAX_ID

log = logging.getLogger(__name__)

# A wake-up that nobody has answered is repeated by the sweep after its own interval, then after
# twice the pause each time, up to this: repeats must not fill the queue of busy workers.
REPUBLISH_LIMIT_SECONDS = 900
# Of the levels 0, 3, 6 and 9 that kombu has in Redis, the lowest is served first. The sweep is
# sent at 0: behind a long queue it would expire each time, and nobody would look after the jobs.
PRIORITY = 6
_WAKEUPS = "pushcart.wakeups"  # in Session.info: what to publish once it has committed


def enqueue(
    session: Session,
    task: Task[Any, Any],
    kind: str,
    params: JSONObject | None = None,
    *,
    file_id: int | None = None,
) -> Job:
    """Insert a job that `task` will do, and publish its id once the transaction has committed."""
    job = Job(
        kind=kind,
        task=task.name,
        params=params or {},
        caller=caller.current().as_dict(),
        file_id=file_id,
        **woken(),
    )
    session.add(job)
    session.flush()
    wake(session, job.id, job.task, job.caller)
    return job


def wake(session: Session, job_id: int, task: str, headers: JSONObject) -> None:
    """Publish a wake-up once the session's transaction has committed."""
    session.info.setdefault(_WAKEUPS, []).append((job_id, task, headers))


def woken() -> dict[str, Any]:
    """What the row of a job says of its wake-up, when that is published on its commit."""
    return {"publish_at": _next_publish(0), "publishes": 0}


@event.listens_for(Session, "after_commit")
def _publish_wakeups(session: Session) -> None:
    for wakeup in session.info.pop(_WAKEUPS, ()):
        publish(*wakeup)


@event.listens_for(Session, "after_rollback")
def _forget_wakeups(session: Session) -> None:
    session.info.pop(_WAKEUPS, None)


def publish(job_id: int, task: str, headers: JSONObject) -> bool:
    """Send one wake-up; False, with a warning in the log, when the broker does not take it."""
    try:
        # Without `ignore_result`, Celery would first subscribe to a result that nobody reads.
        current_app.send_task(
            task,
            args=[job_id],
            headers={"caller": headers},
            priority=PRIORITY,
            ignore_result=True,
            retry=False,
        )
    except OperationalError as error:
        log.warning("job %s not published, the sweep will: %s", job_id, error)
        return False
    return True


def take_unpublished(session: Session, limit: int = 100) -> Sequence[Job]:
    """Queued jobs whose wake-up is due again, each marked as published once more."""
    due = (
        select(Job.id)
        .where(Job.status == "queued", Job.publish_at <= func.now(), Job.run_at <= func.now())
        .order_by(Job.publish_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(Job)
        .where(Job.id.in_(due.scalar_subquery()))
        .values(publishes=Job.publishes + 1, publish_at=_next_publish(Job.publishes))
        .returning(Job)
    )
    return session.scalars(statement).all()


def _next_publish(publishes: Any) -> Any:
    pause = func.least(settings.sweep_seconds * func.power(2, publishes), REPUBLISH_LIMIT_SECONDS)
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause)


def find(job_id: int, session: Session | None = None) -> Row[Any]:
    """The job with this id; in the session's transaction, if there is one. Raises NotFound."""
    statement = select(Job.__table__).where(Job.id == job_id)
    rows = read(statement, session=session) if job_id <= MAX_ID else ()
    if not rows:
        raise NotFound(f"There is no job {job_id}.", code="job_not_found")
    return rows[0]


# What jobs are listed by, under the names of the API's parameters.
FILTERS: Filters = {
    "kind": lambda kind: Job.kind == kind,
    "status": lambda status: Job.status == status,
    "status[in]": Job.status.in_,
    **bounds("created_at", Job.created_at),
}


def page(
    sent: Mapping[str, Any],
    limit: int,
    after: Sequence[int] | None = None,
    *,
    backwards: bool = False,
) -> Sequence[Row[Any]]:
    """Up to `limit` jobs that pass the filters in `sent`, the newest first, after (id).

    `backwards`: before it, the nearest first.
    """
    statement = select(Job.__table__).where(*passing(FILTERS, sent))
    return read_page(statement, (Job.id,), limit, after, backwards=not backwards)


def result_file(job: Row[Any]) -> Row[Any]:
    """The row of the file that a job has made, with its content to be read.

    Raises Conflict (`job_not_finished`), NotFound (`no_result_file`), Gone (`file_expired`).
    """
    if job.finished_at is None:
        raise Conflict(f"The job is {job.status}: ask again.", code="job_not_finished")
    if job.status != "succeeded" or job.result_file_id is None:
        raise NotFound(f"This {job.kind} has made no file.", code="no_result_file")
    return stored_file(job.result_file_id)


def stored_file(file_id: int) -> Row[Any]:
    """The row of a job's file, with its content to be read. Raises Gone (`file_expired`)."""
    (file,) = read(select(StoredFile.__table__).where(StoredFile.id == file_id))
    if file.expired_at is not None:
        raise Gone("The file is kept no longer.", code="file_expired")
    return file


def cancel(session: Session, job_id: int) -> Row[Any]:
    """End a job that has not ended yet; what it has committed stays, as its progress says.

    An attempt that runs finds out at its next step, which then writes nothing. Raises NotFound,
    Conflict (`job_finished`).
    """
    canceled = {"status": "canceled", "lease_until": None, "finished_at": func.now()}
    unfinished = Job.status.in_(("queued", "running"))
    if (row := _changed(session, job_id, unfinished, canceled)) is not None:
        return row
    raise Conflict(f"The job has {find(job_id, session).status} already.", code="job_finished")


def retry(session: Session, job_id: int) -> Row[Any]:
    """Queue a job again that failed, was canceled or refused rows; it does what is not done yet.

    Its task finds what was done before in `checkpoint["before"]`, and the refused lines in
    `RunningJob.retried_lines`. Raises NotFound; Conflict (`job_not_finished`,
    `nothing_to_retry`); Gone (`file_expired`).
    """
    refused = select(func.max(JobError.id)).where(JobError.job_id == job_id).scalar_subquery()
    again = or_(
        Job.status.in_(("failed", "canceled")),
        and_(Job.status == "succeeded", refused.is_not(None)),
    )
    row = _changed(
        session,
        job_id,
        and_(again, ~_has_expired()),
        {**_RENEWED, **woken()}
        | {"checkpoint": _before(), "retried_errors": func.coalesce(refused, 0)},
    )
    if row is None:
        raise _no_retry(session, job_id)
    wake(session, row.id, row.task, row.caller)
    return row


_RENEWED = {"status": "queued", "run_at": func.now(), "stalls": 0} | dict.fromkeys(
    ("error", "result", "finished_at")
)


def _before() -> ColumnElement[Any]:
    """The checkpoint of a retry: all that was done before it; kept, if that has done nothing."""
    undone = or_(
        Job.checkpoint == {},
        Job.checkpoint == func.jsonb_build_object("before", Job.checkpoint["before"]),
    )
    return case((undone, Job.checkpoint), else_=func.jsonb_build_object("before", Job.checkpoint))


def _has_expired() -> ColumnElement[bool]:
    file = or_(StoredFile.id == Job.file_id, StoredFile.id == Job.result_file_id)
    return exists().where(file, StoredFile.expired_at.is_not(None))


def _changed(
    session: Session, job_id: int, when: ColumnElement[bool], changes: JSONObject
) -> Row[Any] | None:
    """The job's row after the change; None where `when` does not hold, or there is no such job."""
    mine = and_(Job.id == job_id, when) if job_id <= MAX_ID else false()
    statement = update(Job).where(mine).values(changes).returning(*Job.__table__.columns)
    return session.execute(statement).one_or_none()


def _no_retry(session: Session, job_id: int) -> PushcartError:
    job = find(job_id, session)
    if job.finished_at is None:
        return Conflict(f"The job is {job.status}: it goes on by itself.", code="job_not_finished")
    refused = select(JobError.id).where(JobError.job_id == job_id).limit(1)
    if job.status == "succeeded" and session.scalar(refused) is None:
        return Conflict("The job has done all that there was to do.", code="nothing_to_retry")
    return Gone("The job's file is kept no longer: send it anew.", code="file_expired")


def errors(
    job_id: int, limit: int, after: Sequence[int] | None = None, *, backwards: bool = False
) -> Sequence[Row[Any]]:
    """Up to `limit` refused rows of a job in the order of the file, after (line, id).

    `backwards`: before it, the nearest first.
    """
    statement = select(JobError.__table__).where(JobError.job_id == job_id)
    return read_page(statement, (JobError.line, JobError.id), limit, after, backwards=backwards)
