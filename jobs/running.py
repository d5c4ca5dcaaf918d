"""Doing a job: claim it under a lease, go on in steps, end it.

The claim raises `attempt`, which is the fencing token: each step commits its effects together
with a check that this attempt still holds the job. A worker that was stopped past its lease, or
was sent the same message twice, can therefore write nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, cast

from psycopg2 import errorcodes
from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import queries
from config import settings
from errors import PushcartError
from jobs import caller, files, queue, stopping
from models import Job, JobError, JSONObject, db
from reads import Prepared, is_away

log = logging.getLogger(__name__)

# The table: the ORM would look for what an update changes among the objects of the session.
_jobs = cast(Table, Job.__table__)

# A job that runs longer hands itself back to the queue between two steps: other jobs get their
# turn, and no task comes near Celery's soft time limit of 300 s.
TURN_SECONDS = 200

# Attempts that may end without completing a single step before the job is given up: a job that
# kills its worker each time must not do so for ever.
MAX_STALLS = 5

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
    """What a step has come to, all of which commits with what the step itself wrote.

    Whatever is not empty needs a checkpoint that advances, or it might be written twice.
    """

    progress: JSONObject  # of the job, as it now stands
    errors: Sequence[Mapping[str, Any]] = ()  # rows refused: line, column, value, code, detail
    resolved: Sequence[int] = ()  # lines whose refusals in earlier runs this step has settled
    output: bytes = b""  # what comes next in the job's result file


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What a job's result file is when it is downloaded."""

    filename: str
    media_type: str


class RunningJob:
    """A claimed job, in the hands of the one attempt that may write for it."""

    def __init__(self, job: Row[Any]) -> None:
        self.id = job.id
        self.kind = job.kind
        self.outcome = "unfinished"  # handed back, or lost to another attempt
        self.attempt = job.attempt
        self.params: JSONObject = job.params
        self.file_id = job.file_id
        self.checkpoint: JSONObject = job.checkpoint
        self.progress: JSONObject = job.progress
        # What the block sets, `end` writes: with a result file, the job has one, if an empty one.
        self.result: JSONObject | None = None
        self.result_file: ResultFile | None = None
        self._result_file_id: int | None = job.result_file_id
        self._retried_errors = job.retried_errors
        self._wakeup = (job.id, job.task, job.caller)
        self._has_pace = False
        self._turn_ends = time.monotonic() + TURN_SECONDS
        self._renew_at = time.monotonic() + settings.lease_seconds / 3

    def step(self, work: Callable[[Session], Step], *, checkpoint: JSONObject) -> None:
        """Commit one step: what `work` writes, with its errors, checkpoint, progress and lease.

        `work` may be called again after a collision with another transaction. Raises LeaseLost,
        with nothing written, when this attempt no longer holds the job; TurnOver, after the
        commit, when it has run for its share of time or the process is to end.
        """
        self._commit(work, checkpoint, pace=not self._has_pace)
        self._has_pace = True
        if stopping.asked() or time.monotonic() > self._turn_ends:
            self._hand_back()

    def renew(self) -> None:
        """Keep the lease during work without steps, such as reading a file from end to end.

        Costs nothing when called too often. Commits, so that nothing may be half written. Raises
        LeaseLost as `step` does, and TurnOver when the process is to end.
        """
        if stopping.asked():
            self._hand_back()
        if time.monotonic() > self._renew_at:
            self._commit(lambda _: Step(self.progress), self.checkpoint)

    def retried_lines(self) -> list[int]:
        """The lines, in order, that earlier runs refused and no step has settled yet.

        Empty in a job's first run; all that was refused until `queue.retry`, in those after it.
        """
        lines = select(JobError.line).where(self._retried()).distinct().order_by(JobError.line)
        found = list(db.session.scalars(lines))
        db.session.rollback()
        return found

    def _retried(self) -> ColumnElement[bool]:
        return and_(JobError.job_id == self.id, JobError.id <= self._retried_errors)

    def _commit(
        self, work: Callable[[Session], Step], checkpoint: JSONObject, *, pace: bool = False
    ) -> None:
        for tries in range(_STEP_TRIES):
            try:
                done = work(db.session())
                file_id = self._write(done)
                # What does not advance forgives no death: the next attempt may die there again.
                stalls = Job.stalls if checkpoint == self.checkpoint else 0
                measured = _pace(done.progress) if pace else {}
                self._hold(
                    db.session(),
                    _HELD.values(stalls=stalls, **measured, **_lease()),
                    checkpoint=checkpoint,
                    progress=done.progress,
                    result_file_id=file_id,
                )
                db.session.commit()
                break
            except DBAPIError as error:
                db.session.rollback()
                pause = _pause_after(error)
                if tries + 1 == _STEP_TRIES or pause is None:
                    raise
                log.info("job %s: step repeated: %s", self.id, error.orig)
                time.sleep(pause * 2**tries)
        self.checkpoint, self.progress, self._result_file_id = checkpoint, done.progress, file_id
        self._renew_at = time.monotonic() + settings.lease_seconds / 3

    def _write(self, done: Step) -> int | None:
        """Write what a step gives besides its own effects; returns the id of the result file."""
        session = db.session()
        if done.resolved:
            settled = and_(self._retried(), JobError.line.in_(done.resolved))
            session.execute(delete(JobError).where(settled))
        if done.errors:
            rows = [{"job_id": self.id, **error} for error in done.errors]
            session.execute(insert(JobError), rows)
        file_id = self._result_file_id
        if done.output:
            file_id = files.create(session) if file_id is None else file_id
            files.append(session, file_id, done.output)
        return file_id

    def _hand_back(self) -> None:
        """Let another worker go on at once. This was no death: it does not count as one."""
        session = db.session()
        stalls = func.greatest(Job.stalls - 1, 0)
        change = _HELD.values(stalls=stalls, **queue.woken())
        self._hold(session, change, status="queued", lease_until=None)
        queue.wake(session, *self._wakeup)
        session.commit()
        raise TurnOver

    def postpone(self, pause_seconds: float, *, checkpoint: JSONObject) -> None:
        """Hand the job back, to go on from `checkpoint` after a pause; commits.

        What the caller has written commits with it. Raises TurnOver after that; LeaseLost as `step`
        does. A job that is cut short by a pause is no more stalled than one that makes a step.
        """
        run_at = func.now() + timedelta(seconds=pause_seconds)
        change = _HELD.values(stalls=0, run_at=run_at, publish_at=run_at, publishes=0)
        waiting = {"status": "queued", "lease_until": None, "checkpoint": checkpoint}
        self._hold(db.session(), change, **waiting)
        db.session.commit()
        raise TurnOver

    def end(self, status: str, *, error: JSONObject | None = None) -> None:
        """Write the job's final status; the result file of a job that succeeded is whole now."""
        file_id = self._result_file_id
        if self.result_file is not None and status == "succeeded":
            file_id = files.create(db.session()) if file_id is None else file_id
            files.declare_whole(db.session(), file_id, **asdict(self.result_file))
        ended = {"status": status, "error": error, "result": self.result, "result_file_id": file_id}
        if db.session.registry.has() and db.session().in_transaction():
            self._hold(db.session(), _ENDED, **ended)  # with what the block has written
            db.session.commit()
        elif not _END.send(**self._mine(), **ended):
            raise LeaseLost
        self.outcome = status

    def _hold(self, session: Session, change: Update, **values: Any) -> None:
        """Change the job's row if this attempt still holds it, else raise LeaseLost."""
        if session.execute(change, self._mine() | values).first() is None:
            session.rollback()
            raise LeaseLost

    def _mine(self) -> dict[str, Any]:
        return {"job_id": self.id, "holder": self.attempt, "reached": self.checkpoint}


def _pace(progress: JSONObject) -> dict[str, Any]:
    return {"pace_since": func.clock_timestamp(), "pace_from": progress.get("processed", 0)}


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
    job = claim(job_id)
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
    except Exception as error:
        if isinstance(error, DBAPIError) and is_away(error):
            db.session.rollback()
            raise
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


def claim(job_id: int) -> Any:
    """The row of a job that waits, or whose lease has run out, taken; None if there is none.

    In a transaction of its own. Raises OperationalError.
    """
    rows = _CLAIM.send(job_id=job_id)
    return rows[0] if rows else None


def _lease() -> dict[str, Any]:
    return {"lease_until": func.now() + timedelta(seconds=settings.lease_seconds)}


# Made once, all of them: SQLAlchemy takes longer to make one than PostgreSQL to do it.
_CLAIM = Prepared(
    update(_jobs)
    .where(
        _jobs.c.id == bindparam("job_id"),
        # In a form for which no index of unfinished jobs fits: PostgreSQL has been seen to read all
        # that wait, for each one claimed.
        case(
            (_jobs.c.status == "queued", _jobs.c.run_at <= func.now()),
            (
                _jobs.c.status == "running",  # a stalled one, the next sweep gives up
                and_(_jobs.c.lease_until < func.now(), _jobs.c.stalls < MAX_STALLS),
            ),
            else_=false(),
        ),
    )
    .values(
        status="running",
        attempt=_jobs.c.attempt + 1,
        stalls=_jobs.c.stalls + 1,
        started_at=func.coalesce(_jobs.c.started_at, func.now()),
        pace_since=None,
        pace_from=None,
        **_lease(),
    )
    .returning(
        *(_jobs.c.id, _jobs.c.kind, _jobs.c.task, _jobs.c.caller, _jobs.c.attempt),
        *(_jobs.c.params, _jobs.c.file_id, _jobs.c.checkpoint, _jobs.c.progress),
        *(_jobs.c.result_file_id, _jobs.c.retried_errors),
        # Nobody waits for the disk: PostgreSQL forgets a claim in no crash but its own, and then it
        # may give the same `attempt` once more. Of two attempts that share it, one gets to the
        # checkpoint first, and the other has lost its lease.
        literal_column("set_config('synchronous_commit', 'off', true)").label("commit"),
    ),
    "job_id",
)
_HELD = (
    update(_jobs)
    .where(
        _jobs.c.id == bindparam("job_id"),
        _jobs.c.attempt == bindparam("holder"),
        _jobs.c.lease_until.is_not(None),  # it is running; not by status, for the same reason
        # A commit whose answer was lost has moved the checkpoint: it is not done twice.
        _jobs.c.checkpoint == bindparam("reached"),
    )
    .returning(_jobs.c.id)
)
_ENDED = _HELD.values(lease_until=None, finished_at=func.now())
_END = Prepared(
    _ENDED, *("job_id", "holder", "reached"), *("status", "error", "result", "result_file_id")
)
