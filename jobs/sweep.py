"""The sweep: finds jobs that nobody works on, and sees to it that somebody does.

Every worker asks for it every few seconds; an advisory lock lets one at a time through.
"""

import logging

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from jobs import schedules
from jobs.queue import publish, take_unpublished
from jobs.running import MAX_STALLS
from models import Job

log = logging.getLogger(__name__)

_LOCK = 0x7075736863617274  # "pushcart"


def sweep(session: Session) -> int:
    """Fail jobs that stalled for good, requeue orphans, put in what is scheduled, publish.

    Returns how many waiting jobs were published. Commits before it publishes, so that a worker
    never sees a wake-up before its row.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
        return 0
    _give_up(session)
    _requeue_orphans(session)
    schedules.enqueue_due(session)
    wakeups = [(job.id, job.task, job.caller) for job in take_unpublished(session)]
    session.commit()
    return sum(publish(*wakeup) for wakeup in wakeups)


def _give_up(session: Session) -> None:
    detail = f"Given up after {MAX_STALLS} attempts that ended without completing a step."
    given_up = session.scalars(
        update(Job)
        .where(_orphaned(), Job.stalls >= MAX_STALLS)
        .values(
            status="failed",
            lease_until=None,
            finished_at=func.now(),
            error={"code": "attempts_exhausted", "detail": detail},
        )
        .returning(Job.id)
    )
    for job_id in given_up:
        log.error("job %s: %s", job_id, detail)


def _requeue_orphans(session: Session) -> None:
    orphans = session.scalars(
        update(Job)
        .where(_orphaned())
        .values(status="queued", lease_until=None, publish_at=func.now(), publishes=0)
        .returning(Job.id)
    )
    for job_id in orphans:
        log.warning("job %s: its worker is gone, queued again", job_id)


def _orphaned() -> ColumnElement[bool]:
    return and_(Job.status == "running", Job.lease_until < func.now())
