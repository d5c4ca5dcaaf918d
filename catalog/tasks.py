"""The catalogue's background work."""

from celery import shared_task

from catalog import exports, imports
from jobs.running import running


@shared_task(name="catalog.import")
def import_catalogue(job_id: int) -> None:
    """Import the catalogue file of a job."""
    with running(job_id) as job:
        if job is not None:
            job.result = imports.run(job)


@shared_task(name="catalog.export")
def export_products(job_id: int) -> None:
    """Export the products that a job's parameters choose."""
    with running(job_id) as job:
        if job is not None:
            job.result = exports.run(job)
