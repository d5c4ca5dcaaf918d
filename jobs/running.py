"""Doing a job: claim it under a lease, go on in steps, end it.

The claim raises `attempt`, which is the fencing token: each step commits its effects together
with a check that this attempt still holds the job. A worker that was stopped past its lease, or
was sent the same message twice, can therefore write nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg2 import errorcodes
from sqlalchemy import and_, func, insert, or_, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

import queries
from config import settings
from errors import PushcartError
from jobs import caller
from models import Job, JobError, JSONObject, db

log = logging.getLogger(__name__)

# A job that runs longer hands itself back to the queue between two steps: other jobs get their
# turn, and no task comes near Celery's soft time limit of 300 s.
TURN_SECONDS = 200

# What another transaction can do to a step that is right in itself; the step is simply repeated.
_COLLISIONS = {
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.UNIQUE_VIOLATION,
    errorcodes.LOCK_NOT_AVAILABLE,
}
_STEP_TRIES = 6


class LeaseLost(Exception):
    """Another attempt holds the job, or it was canceled: this attempt must write nothing more."""


class TurnOver(Exception):
    """The job has been handed back to the queue and goes on in another task."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has come to: the job's progress as it now stands, and rows that were refused."""

    progress: JSONObject
    errors: Sequence[Mapping[str, Any]] = ()


class RunningJob:
    """A claimed job, in the hands of the one attempt that may write for it."""

    def __init__(self, job: Job) -> None:
        self.id = job.id
        self.kind = job.kind
        self.outcome = "unfinished"  # handed back, or lost to another attempt
        self.attempt = job.attempt
        self.params: JSONObject = job.params
        self.file_id = job.file_id
        self.checkpoint: JSONObject = job.checkpoint
        self.progress: JSONObject = job.progress
        self.result: JSONObject | None = None  # what the block sets, `end` writes
        self._turn_ends = time.monotonic() + TURN_SECONDS

    def step(self, work: Callable[[Session], Step], *, checkpoint: JSONObject) -> None:
        """Commit one step: what `work` writes, with its errors, checkpoint, progress and lease.

        `work` may be called again after a collision with another transaction. Raises LeaseLost,
        with nothing written, when this attempt no longer holds the job; TurnOver, after the
        commit, when it has run for its share of time.
        """
        for tries in range(_STEP_TRIES):
            try:
                done = work(db.session())
                if done.errors:
                    rows = [{"job_id": self.id, **error} for error in done.errors]
                    db.session.execute(insert(JobError), rows)
                # What does not advance forgives no death: the next attempt may die there again.
                stalls = Job.stalls if checkpoint == self.checkpoint else 0
                self._hold(checkpoint=checkpoint, progress=done.progress, stalls=stalls, **_lease())
                db.session.commit()
                break
            except (OperationalError, IntegrityError) as error:
                db.session.rollback()
                pause = _pause_after(error)
                if tries + 1 == _STEP_TRIES or pause is None:
                    raise
                log.info("job %s: step repeated: %s", self.id, error.orig)
                time.sleep(pause * 2**tries)
        self.checkpoint, self.progress = checkpoint, done.progress
        if time.monotonic() > self._turn_ends:
            self._hand_back()

    def _hand_back(self) -> None:
        self._hold(status="queued", lease_until=None, publish_at=func.now())
        db.session.commit()
        raise TurnOver

    def end(self, status: str, *, error: JSONObject | None = None) -> None:
        """Write the job's final status."""
        self._hold(
            status=status,
            error=error,
            result=self.result,
            lease_until=None,
            finished_at=func.now(),
        )
        db.session.commit()
        self.outcome = status

    def _hold(self, **changes: Any) -> None:
        """Change the job's row if this attempt still holds it, else raise LeaseLost."""
        mine = and_(
            Job.id == self.id,
            Job.attempt == self.attempt,
            Job.status == "running",
            # A commit whose answer was lost has moved the checkpoint: it is not done twice.
            Job.checkpoint == self.checkpoint,
        )
        held = db.session.execute(update(Job).where(mine).values(**changes).returning(Job.id))
        if held.first() is None:
            db.session.rollback()
            raise LeaseLost


def _pause_after(error: DBAPIError) -> float | None:
    """Seconds until a first repetition may help; None where it cannot."""
    code = getattr(error.orig, "pgcode", None)
    if code in _COLLISIONS:
        return 0.05
    # The connection is gone. A PostgreSQL that restarts is back before the tries, 15 s, are over.
    return 0.5 if error.connection_invalidated or code is None else None


@contextmanager
def running(job_id: int) -> Iterator[RunningJob | None]:
    """Claim the job, run the block, end the job; None when there is nothing to claim.

    A block that returns ends the job as `succeeded`. A PushcartError ends it as `failed` with
    that reason; any other exception too, with its details in the log alone. A database that is
    away or overloaded ends nothing: the lease runs out, and the job goes to another attempt.
    """
    job = claim(db.session(), job_id)
    db.session.commit()
    if job is None:
        log.info("job %s: nothing to claim", job_id)
        yield None
        return
    held = RunningJob(job)
    sent, started = queries.begin(), time.perf_counter()
    try:
        yield held
        held.end("succeeded")
    except (LeaseLost, TurnOver) as reason:
        log.info("job %s: attempt %s stops: %r", job_id, held.attempt, reason)
    except PushcartError as error:
        _fail(held, {"code": error.error_code, "detail": error.detail})
    except OperationalError:
        db.session.rollback()
        raise
    except Exception:
        log.exception("job %s: attempt %s crashed", job_id, held.attempt)
        _fail(held, {"code": "internal_error", "detail": "The job failed through a fault of ours."})
    finally:
        _tell(held, sent.count, time.perf_counter() - started)


def _tell(job: RunningJob, sent: int, seconds: float) -> None:
    """Write the attempt's line in the log."""
    told = {
        "job": job.id,
        "kind": job.kind,
        "attempt": job.attempt,
        "status": job.outcome,
        "ms": round(seconds * 1000, 1),
        "queries": sent,
    }
    key = caller.current().key_id
    log.info("job", extra={"fields": told | ({"key": key} if key else {})})


def _fail(job: RunningJob, error: JSONObject) -> None:
    db.session.rollback()
    try:
        job.end("failed", error=error)
    except LeaseLost:
        log.info("job %s: attempt %s had already lost its lease", job.id, job.attempt)


def claim(session: Session, job_id: int) -> Job | None:
    """Take a job that waits, or whose lease has run out; None if there is nothing to take."""
    waiting = and_(Job.status == "queued", Job.run_at <= func.now())
    abandoned = and_(Job.status == "running", Job.lease_until < func.now())
    statement = (
        update(Job)
        .where(Job.id == job_id, or_(waiting, abandoned))
        .values(
            status="running",
            attempt=Job.attempt + 1,
            stalls=Job.stalls + 1,
            started_at=func.coalesce(Job.started_at, func.now()),
            **_lease(),
        )
        .returning(Job)
    )
    return session.scalars(statement).one_or_none()


def _lease() -> dict[str, Any]:
    return {"lease_until": func.now() + timedelta(seconds=settings.lease_seconds)}
