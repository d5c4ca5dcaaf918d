"""Jobs on a terminal: in a line, at length, and live."""

import time
from typing import Any

import click
from sqlalchemy import Row

from jobs import queue
from schemas import PROGRESS, rfc3339

_ERRORS_SHOWN = 5
_POLL_SECONDS = 0.3
_COUNTED = [name for name in PROGRESS if name not in ("total", "processed")]
_PATIENCE_SECONDS = 3  # with a worker that is idle it takes less than one


def line(job: Row[Any]) -> str:
    """A job in one line."""
    parts = [f"{job.id}", job.kind, job.status, f"created {rfc3339(job.created_at)}"]
    return "  ".join([*parts, counts(job)] if job.progress else parts)


def counts(job: Row[Any]) -> str:
    """How far a job has come."""
    progress = job.progress
    rows = f"{progress.get('processed', 0)} of {progress.get('total', 0)} rows"
    told = (f"{progress[name]} {name}" for name in _COUNTED if progress.get(name))
    return ", ".join([rows, *told])


def tell(job: Row[Any]) -> None:
    """A job with what went wrong: its reason, and the first rows that it refused."""
    click.echo(line(job))
    if job.error:
        click.echo(f"{job.error['code']}: {job.error['detail']}")
    refused = queue.errors(job.id, _ERRORS_SHOWN + 1)
    for error in refused[:_ERRORS_SHOWN]:
        where = ", ".join(filter(None, (f"line {error.line}", error.column)))
        value = "" if error.value is None else f" {error.value!r}"
        click.echo(f"{where}:{value} {error.detail} ({error.code})")
    if len(refused) > _ERRORS_SHOWN:
        click.echo(f"… and more: /api/v1/jobs/{job.id}/errors")


def until_its_end(job: Row[Any]) -> Row[Any]:
    """Show a job's progress while it lasts; returns the job as it ended.

    Interrupted, it lets the job go on, and ends the command by telling how to find it again.
    """
    try:
        return _watch(_begun(job))
    except KeyboardInterrupt:
        click.echo(f"\nJob {job.id} goes on without you.", err=True)
        tell_where(job.id)
        raise click.exceptions.Exit(130) from None


def tell_where(job_id: int) -> None:
    """How to find a job again."""
    for command in (f"show --follow {job_id}", f"cancel {job_id}"):
        click.echo(f"  flask --app wsgi jobs {command}", err=True)


def _begun(job: Row[Any]) -> Row[Any]:
    """The job once it knows how much there is to do, or has ended."""
    patience_ends: float | None = time.monotonic() + _PATIENCE_SECONDS
    while job.finished_at is None and not (job.status == "running" and job.progress.get("total")):
        if job.status != "queued":
            patience_ends = None
        elif patience_ends is not None and time.monotonic() > patience_ends:
            click.echo(f"No worker has taken job {job.id} yet. It waits for one.", err=True)
            patience_ends = None
        time.sleep(_POLL_SECONDS)
        job = queue.find(job.id)
    return job


def _watch(job: Row[Any]) -> Row[Any]:
    length = job.progress.get("total", 0)
    label = f"Job {job.id}"
    with click.progressbar(length=length, label=label, item_show_func=lambda told: told) as bar:
        while True:
            bar.update(job.progress.get("processed", 0) - bar.pos, counts(job))
            if job.finished_at is not None:
                return job
            time.sleep(_POLL_SECONDS)
            job = queue.find(job.id)
