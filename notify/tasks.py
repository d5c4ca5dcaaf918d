"""The background work of those who are to be told."""

from datetime import timedelta

from celery import shared_task
from sqlalchemy.orm import Session

from jobs import schedules
from jobs.running import running
from models import db
from notify import confirmations, deliveries, digest


@shared_task(name="notify.tell_webhook")
def tell_webhook(job_id: int) -> None:
    """Tell the webhook of a job what is due."""
    with running(job_id) as job:
        if job is not None:
            job.result = deliveries.run(job)


@shared_task(name="notify.confirm_order")
def confirm_order(job_id: int) -> None:
    """Send the confirmation of an order."""
    with running(job_id) as job:
        if job is not None:
            job.result = confirmations.run(job, db.session())


@shared_task(name="notify.low_stock")
def tell_low_stock(job_id: int) -> None:
    """Send the digest of what is low in stock."""
    with running(job_id) as job:
        if job is not None:
            job.result = digest.run(job, db.session())


def _look_for_deliveries(session: Session) -> None:
    deliveries.enqueue_due(session, tell_webhook)


schedules.look_out(_look_for_deliveries)
schedules.declare(digest.KIND, timedelta(days=1), tell_low_stock)
