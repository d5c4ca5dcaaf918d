"""Deliveries: events on their way to webhooks, as Standard Webhooks 1.0.0 says.

A job for each webhook that has something to be told makes deliveries in the order of the feed and
sends what is due, one after the other. Nobody waits for a receiver that fails: each delivery has
its time of the next attempt, the webhook a pause that grows with its failures, and the sweep puts
in a job again when that time has come. An attempt is recorded after it was made, so that a worker
that dies in between makes it again: at least once, under the same id, with the same body.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from celery import Task
from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Signer

import events
from jobs import queue
from jobs.cleanup import WEBHOOK_KIND
from jobs.running import RunningJob, Step
from models import Delivery, Event, EventFeed, Job, JSONObject, Webhook, db
from notify import posting
from notify.posting import Reply, Unreachable

# Seconds before each further attempt, as the specification recommends: 75 hours in all.
PAUSES_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1  # of a pause, added by chance: what failed together is not to come back together
# Between two attempts of any kind at a receiver that has failed so many times in a row.
_LONGEST_PAUSE_SECONDS = 300
_MADE_AT_ONCE = 500
_CLAIMED_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What there is to send: an event, to a webhook."""

    delivery_id: int
    claimed_until: datetime
    number: int  # from 1 on
    event: Any
    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of an attempt."""

    status: int | None  # of the answer; None: there was none
    response: str | None
    error: str | None  # None: it was taken
    retry_after_seconds: float = 0


def run(job: RunningJob) -> JSONObject:
    """Tell the job's webhook all that is due; returns how many attempts were made, and failed.

    Raises LeaseLost and TurnOver as `job.step` does.
    """
    counts = {"attempts": 0, "failed": 0, **job.checkpoint}
    while _make(job) | _send_due(job, counts):
        pass
    return {name: counts[name] for name in ("attempts", "failed")}


def enqueue_due(session: Session, task: Task[Any, Any]) -> None:
    """Put in a job for each webhook that has something to be told and no job yet."""
    unread = or_(
        exists().where(Event.position.is_(None)),
        select(EventFeed.last).scalar_subquery() > Webhook.cursor,
    )
    pending = exists().where(Delivery.webhook_id == Webhook.id, _is_due())
    due = select(Webhook.id).where(_takes(), or_(unread, pending), ~_has_job())
    for webhook_id in session.scalars(due).all():
        queue.enqueue(session, task, WEBHOOK_KIND, {"webhook_id": webhook_id})


def wake(session: Session, task: Task[Any, Any], webhook_id: int) -> None:
    """Put in a job for this webhook, unless it has one."""
    if session.scalar(select(Webhook.id).where(Webhook.id == webhook_id, ~_has_job())):
        queue.enqueue(session, task, WEBHOOK_KIND, {"webhook_id": webhook_id})


def _has_job() -> ColumnElement[bool]:
    unfinished = Job.status.in_(("queued", "running"))
    of_it = Job.params["webhook_id"].as_integer() == Webhook.id
    return exists().where(Job.kind == WEBHOOK_KIND, unfinished, of_it)


def _takes() -> ColumnElement[bool]:
    is_paused = and_(Webhook.paused_until.is_not(None), Webhook.paused_until > func.now())
    return and_(Webhook.enabled, ~is_paused)


def _is_due() -> ColumnElement[bool]:
    return and_(Delivery.status == "pending", Delivery.due_at <= func.now())


# --- from the feed to deliveries ----------------------------------------------------------------


def _make(job: RunningJob) -> bool:
    """Make deliveries of the next events in the feed; whether there were any.

    The webhook's cursor says how far it came. The job's checkpoint stands still: what is made is
    not yet sent, and an attempt that always dies of that is to be counted.
    """
    found = False

    def work(session: Session) -> Step:
        nonlocal found
        found = _make_some(session, job.params["webhook_id"])
        return Step(job.progress)

    job.step(work, checkpoint=job.checkpoint)
    return found


def _make_some(session: Session, webhook_id: int) -> bool:
    of_it = select(Webhook).where(Webhook.id == webhook_id, _takes()).with_for_update()
    webhook = session.scalars(of_it.execution_options(populate_existing=True)).one_or_none()
    if webhook is None:
        return False
    events.place(session)
    # Shared, so that no clean-up deletes an event while a delivery of it is made.
    last = session.scalars(select(EventFeed.last).with_for_update(read=True)).one()
    until = min(webhook.cursor + _MADE_AT_ONCE, last)
    wanted = and_(Event.position > webhook.cursor, Event.position <= until)
    wanted = and_(wanted, Event.type != "webhook.test")
    if webhook.types:
        wanted = and_(wanted, Event.type.in_(webhook.types))
    told = select(literal(webhook.id), Event.id).where(wanted).order_by(Event.position)
    # There is one already where the webhook is to be told again.
    again = {"status": "pending", "attempts": 0, "due_at": func.now()}
    session.execute(
        insert(Delivery)
        .from_select(["webhook_id", "event_id"], told)
        .on_conflict_do_update(index_elements=["webhook_id", "event_id"], set_=again)
    )
    goes_on = until > webhook.cursor
    webhook.cursor = max(webhook.cursor, until)
    session.flush()
    return goes_on


# --- from deliveries to the receiver -----------------------------------------------------------


def _send_due(job: RunningJob, counts: dict[str, int]) -> bool:
    """Send some of what is due, the longest due first; whether there was anything."""
    for number in range(_MADE_AT_ONCE):
        attempt = _claim(db.session(), job.params["webhook_id"])
        db.session.commit()  # no connection is held while the receiver takes its time
        if attempt is None:
            return number > 0
        outcome = _send(attempt)
        counts["attempts"] += 1
        counts["failed"] += outcome.error is not None
        _record(job, attempt, outcome, counts)
    return True


def _claim(session: Session, webhook_id: int) -> Attempt | None:
    """Take the next delivery that is due; for others it is due again if nothing comes of it."""
    mine = (
        select(Delivery.id)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.webhook_id == webhook_id, _is_due(), _takes())
        .order_by(Delivery.due_at, Delivery.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=Delivery)
    )
    claimed = session.execute(
        update(Delivery)
        .where(Delivery.id == mine.scalar_subquery())
        .values(due_at=func.now() + _CLAIMED_FOR)
        .returning(Delivery.id, Delivery.event_id, Delivery.attempts, Delivery.due_at)
    ).one_or_none()
    if claimed is None:
        return None
    event = session.execute(select(Event.__table__).where(Event.id == claimed.event_id)).one()
    to = select(Webhook.url, Webhook.secret).where(Webhook.id == webhook_id)
    url, secret = session.execute(to).one()
    return Attempt(claimed.id, claimed.due_at, claimed.attempts + 1, event, url, secret)


def _send(attempt: Attempt) -> Outcome:
    """Make one attempt."""
    body, headers = message(attempt.event, attempt.secret, datetime.now(UTC))
    try:
        reply = posting.post(attempt.url, body, headers)
    except Unreachable as reason:
        return Outcome(None, None, str(reason))
    error = None if 200 <= reply.status < 300 else f"The answer was {reply.status}."
    return Outcome(reply.status, reply.text, error, _retry_after_seconds(reply))


def message(event: Any, secret: str, now: datetime) -> tuple[bytes, Mapping[str, str]]:
    """The body and the headers that tell of an event, each time with the same body and id."""
    event_id = events.public_id(event.id)
    body = json.dumps(events.public(event), ensure_ascii=False, separators=(",", ":"))
    return body.encode(), {
        "Content-Type": "application/json",
        "User-Agent": "Pushcart",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(event_id, now, body),
    }


def _retry_after_seconds(reply: Reply) -> float:
    """What the header Retry-After asks for (RFC 9110, 10.2.3), up to a day."""
    sent = reply.retry_after or ""
    if sent.isascii() and sent.isdigit():
        return min(int(sent[:9]), PAUSES_SECONDS[-1])
    try:
        left = (parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # there is none, or no time that has a zone
        return 0
    return max(0, min(left, PAUSES_SECONDS[-1]))


def _record(job: RunningJob, attempt: Attempt, outcome: Outcome, counts: Mapping[str, int]) -> None:
    def work(session: Session) -> Step:
        _write(session, job.params["webhook_id"], attempt, outcome)
        return Step(job.progress)

    job.step(work, checkpoint=dict(counts))


def _write(session: Session, webhook_id: int, attempt: Attempt, outcome: Outcome) -> None:
    """Record an attempt, and what follows from it for its delivery and its webhook."""
    is_gone = outcome.status == 410
    is_last = is_gone or attempt.number > len(PAUSES_SECONDS)
    delivery: dict[str, Any] = {
        "attempts": attempt.number,
        "attempted_at": func.now(),
        "response_status": outcome.status,
        "response": outcome.response,
        "error": outcome.error,
        "status": "delivered" if outcome.error is None else "failed" if is_last else "pending",
    }
    webhook: dict[str, Any] = {"failures": 0, "paused_until": None}
    if outcome.error is not None:
        webhook = {"failures": Webhook.failures + 1, "paused_until": _paused_until(outcome)}
        if not is_last:
            pause = PAUSES_SECONDS[attempt.number - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311  # chance
            delivery["due_at"] = func.now() + timedelta(
                seconds=max(pause, outcome.retry_after_seconds)
            )
    # One that somebody has asked for anew meanwhile is due, whatever came of this attempt.
    mine = and_(Delivery.id == attempt.delivery_id, Delivery.due_at == attempt.claimed_until)
    session.execute(update(Delivery).where(mine).values(delivery))
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(webhook))
    if is_last and outcome.error is not None:
        # Nothing has been taken for as long as this one was tried: nobody is there any more.
        gone = Webhook.failures > len(PAUSES_SECONDS)
        because = "gone" if is_gone else "failing"
        disable = update(Webhook).where(Webhook.id == webhook_id, or_(literal(is_gone), gone))
        session.execute(disable.values(enabled=False, disabled_because=because))


def _paused_until(outcome: Outcome) -> ColumnElement[Any]:
    exponential = PAUSES_SECONDS[0] * func.power(2, func.least(Webhook.failures, 10))
    seconds = func.least(exponential, _LONGEST_PAUSE_SECONDS)
    longer = func.greatest(seconds, outcome.retry_after_seconds)
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, longer)
