"""`flask --app wsgi jobs …`."""

import click
from flask.cli import AppGroup

from api.commands import watching
from api.commands.plainly import told_plainly
from jobs import queue
from models import JOB_STATUSES, db

jobs = AppGroup("jobs", help="List, show, retry and cancel background jobs.")


@jobs.command("list")
@click.option("--status", type=click.Choice(JOB_STATUSES))
@click.option("--kind", help="Such as import.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_jobs(status: str | None, kind: str | None, limit: int) -> None:
    """Show jobs, the newest first."""
    with told_plainly():
        for job in queue.page({"status": status, "kind": kind or None}, limit):
            click.echo(watching.line(job))


@jobs.command("show")
@click.argument("job_id", type=click.IntRange(0))
@click.option("--follow", is_flag=True, help="Until its end, with live progress.")
def show_job(job_id: int, follow: bool) -> None:
    """Show one job with the first of the rows that it refused."""
    with told_plainly():
        job = queue.find(job_id)
        watching.tell(watching.until_its_end(job) if follow else job)


@jobs.command("retry")
@click.argument("job_id", type=click.IntRange(0))
def retry_job(job_id: int) -> None:
    """Do again what of a job failed, was refused or was left."""
    with told_plainly():
        job = queue.retry(db.session(), job_id)
        db.session.commit()
    click.echo(watching.line(job))


@jobs.command("cancel")
@click.argument("job_id", type=click.IntRange(0))
def cancel_job(job_id: int) -> None:
    """End a job; what it has done stays."""
    with told_plainly():
        job = queue.cancel(db.session(), job_id)
        db.session.commit()
    click.echo(watching.line(job))
