"""Tasks that only the fault tests' workers know (`--include tests.faults.tasks`)."""

import os
from datetime import timedelta

from celery import shared_task
from sqlalchemy import text
from sqlalchemy.orm import Session

from jobs import schedules
from jobs.running import Step, running

OPTIONS = ("--include", __name__)
DIE = "tests.faults.die"
TRACE = "tests.faults.trace"


@shared_task(name=DIE)
def die(job_id: int) -> None:
    """Claim a job and take the process down with it, unless the environment spares it."""
    with running(job_id) as job:
        if job is not None and "SPARED" not in os.environ:
            os._exit(1)


@shared_task(name=TRACE)
def trace(job_id: int) -> None:
    """Leave one trace for each time that the job takes effect: a product of its name."""

    def leave(session: Session) -> Step:
        insert = "INSERT INTO products (handle, name) VALUES (gen_random_uuid()::text, :name)"
        session.execute(text(insert), {"name": f"trace of {job_id}"})
        return Step({"processed": 1})

    with running(job_id) as job:
        if job is not None and not job.checkpoint:  # else an attempt that has died had left it
            job.step(leave, checkpoint={"left": True})


# A schedule, in the workers that are told to have it.
if every := os.environ.get("TRACE_EVERY_SECONDS"):
    schedules.declare(TRACE, timedelta(seconds=float(every)), trace)
