"""Putting a job in, and waking a worker for it.

A job is a row, written in the transaction of what caused it. Celery carries its id as a wake-up
and may lose it, repeat it or be away: `jobs.sweep` publishes again whatever nobody has claimed.
"""

import logging
from collections.abc import Sequence
from typing import Any

from celery import Task, current_app
from kombu.exceptions import OperationalError
from sqlalchemy import Row, event, func, select, update
from sqlalchemy.orm import Session

from config import settings
from errors import NotFound
from jobs import caller
from models import Job, JobError, JSONObject
from reads import read, read_page

log = logging.getLogger(__name__)

# A wake-up that nobody has answered is repeated by the sweep after its own interval, then after
# twice the pause each time, up to this: repeats must not fill the queue of busy workers.
REPUBLISH_LIMIT_SECONDS = 900
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
        publish_at=_next_publish(0),
    )
    session.add(job)
    session.flush()
    session.info.setdefault(_WAKEUPS, []).append((job.id, job.task, job.caller))
    return job


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
            task, args=[job_id], headers={"caller": headers}, ignore_result=True, retry=False
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


def find(job_id: int) -> Row[Any]:
    """The job with this id, as it stands in the database now. Raises NotFound."""
    rows = read(select(Job.__table__).where(Job.id == job_id)) if job_id < 2**63 else ()
    if not rows:
        raise NotFound(f"There is no job {job_id}.", code="job_not_found")
    return rows[0]


def errors(
    job_id: int, limit: int, after: Sequence[int] | None = None, *, backwards: bool = False
) -> Sequence[Row[Any]]:
    """Up to `limit` refused rows of a job in the order of the file, after (line, id).

    `backwards`: before it, the nearest first.
    """
    statement = select(JobError.__table__).where(JobError.job_id == job_id)
    return read_page(statement, (JobError.line, JobError.id), limit, after, backwards=backwards)
