"""A mail as the work of a job: tried until a server takes it, unless one refuses it for good."""

from collections.abc import Callable
from email.message import EmailMessage

from sqlalchemy.orm import Session

from errors import Undeliverable
from jobs.running import RunningJob, Step
from models import db
from notify import mail
from notify.mail import Deferred, Refused

# Seconds before each further attempt: two days in all, in which a server is mended.
PAUSES_SECONDS = (30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 57_600, 57_600)

# Writes down what has become of a mail: its status, and the reason if it was not taken.
Record = Callable[[Session, str, str | None], None]


def deliver(job: RunningJob, compose: Callable[[], EmailMessage], record: Record) -> None:
    """Send the job's mail, and record it; one that died in between sends it again.

    Raises Undeliverable; TurnOver where it is to be tried again later; LeaseLost.
    """
    tries = job.checkpoint.get("tries", 0) + 1
    checkpoint = {"tries": tries}
    try:
        mail.send(compose())
    except Deferred as reason:
        if tries <= len(PAUSES_SECONDS):
            record(db.session(), "queued", str(reason))
            job.postpone(PAUSES_SECONDS[tries - 1], checkpoint=checkpoint)
        _give_up(job, record, f"Given up after {tries} attempts: {reason}", tries)
    except Refused as reason:
        _give_up(job, record, str(reason), tries)
    job.step(lambda session: _recorded(job, session, record, "sent"), checkpoint=checkpoint)


def _give_up(job: RunningJob, record: Record, reason: str, tries: int) -> None:
    job.step(
        lambda session: _recorded(job, session, record, "failed", reason),
        checkpoint={"tries": tries},
    )
    raise Undeliverable(reason)


def _recorded(
    job: RunningJob, session: Session, record: Record, status: str, reason: str | None = None
) -> Step:
    record(session, status, reason)
    return Step(job.progress)
