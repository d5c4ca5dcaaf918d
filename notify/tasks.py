"""The background work of those who are to be told."""

from celery import shared_task
from sqlalchemy.orm import Session

from jobs import schedules
from jobs.running import running
from notify import deliveries


@shared_task(name="notify.tell_webhook")
def tell_webhook(job_id: int) -> None:
    """Tell the webhook of a job what is due."""
    with running(job_id) as job:
        if job is not None:
            job.result = deliveries.run(job)


def _look_for_deliveries(session: Session) -> None:
    deliveries.enqueue_due(session, tell_webhook)


schedules.look_out(_look_for_deliveries)
