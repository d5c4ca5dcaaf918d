"""The mail that confirms an order: one job for each, written in the order's transaction.

What is sent stands in the job: the order as clients see it (`OrderSchema`) with the address at
which the buyer finds it. What has become of it stands in `mails`, and is shown with the order.
"""

from collections.abc import Collection, Mapping
from email.message import EmailMessage
from functools import partial
from typing import Any

from celery import Task
from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from jobs import queue
from jobs.running import RunningJob
from models import Job, JSONObject, Mail
from notify import mail
from notify.sending import deliver
from reads import read

KIND = "confirmation"


def enqueue(session: Session, task: Task[Any, Any], order: JSONObject, link: str) -> None:
    """Have an order confirmed once its transaction has committed.

    For an order that was confirmed, or is being, this is another confirmation, which replaces the
    other one: of two jobs that meet, the later one alone sends.
    """
    params = {"order": order, "link": link}
    job = queue.enqueue(session, task, KIND, params)
    fresh = {"job_id": job.id, "recipient": order["email"], "status": "queued"}
    session.execute(
        insert(Mail)
        .values(kind=KIND, reference=order["id"], **fresh)
        .on_conflict_do_update(
            index_elements=["reference", "kind"], set_={**fresh, "reason": None, "sent_at": None}
        )
    )


def states(order_ids: Collection[str], session: Session | None = None) -> Mapping[str, Row[Any]]:
    """What has become of the confirmations of these orders: `ConfirmationSchema`, by order.

    One whose job has ended without it (it crashed, or was canceled) has failed too. In the
    session's transaction, if there is one.
    """
    is_lost = and_(Mail.status == "queued", or_(Job.id.is_(None), Job.finished_at.is_not(None)))
    lost_because = func.coalesce(Job.error["detail"].astext, "Its job has ended without it.")
    statement = (
        select(
            Mail.reference,
            case((is_lost, "failed"), else_=Mail.status).label("status"),
            case((is_lost, lost_because), else_=Mail.reason).label("reason"),
            Mail.sent_at,
        )
        .outerjoin(Job, Job.id == Mail.job_id)
        .where(Mail.kind == KIND, Mail.reference.in_(order_ids))
    )
    return {row.reference: row for row in read(statement, session=session)}


def run(job: RunningJob, session: Session) -> JSONObject:
    """Send the job's confirmation, unless it was sent, or is another job's by now.

    Raises Undeliverable, TurnOver, LeaseLost.
    """
    status = session.scalar(select(Mail.status).where(*_mine(job)))
    session.rollback()  # no connection is held while the server takes its time
    if status is None:
        return {"status": "superseded"}
    if status != "sent":
        deliver(job, partial(_composed, job), partial(_record, job))
    return {"status": "sent"}


def _composed(job: RunningJob) -> EmailMessage:
    order: JSONObject = job.params["order"]
    subject, message_id = f"Your order {order['id'][:8]}", f"order.{order['id']}.{job.id}"
    shown = {"order": order, "link": job.params["link"]}
    return mail.compose(order["email"], subject, "confirmation", message_id, **shown)


def _record(job: RunningJob, session: Session, status: str, reason: str | None) -> None:
    sent_at = func.now() if status == "sent" else None
    changes = {"status": status, "reason": reason, "sent_at": sent_at}
    session.execute(update(Mail).where(*_mine(job)).values(changes))


def _mine(job: RunningJob) -> tuple[ColumnElement[bool], ...]:
    reference = job.params["order"]["id"]
    return Mail.reference == reference, Mail.kind == KIND, Mail.job_id == job.id
