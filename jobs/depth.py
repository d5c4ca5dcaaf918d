"""How much there is to do: jobs that wait, that run, and whose worker is gone."""

from dataclasses import dataclass

from sqlalchemy import func, select

from models import Job
from reads import read


@dataclass(frozen=True, slots=True)
class Depth:
    """The unfinished jobs of one kind in one status."""

    kind: str
    status: str  # queued or running
    count: int
    abandoned: int  # running, with a lease that has ended: the next sweep queues them again
    oldest_seconds: float | None  # for how long one of them could have begun, and has not yet


def unfinished() -> list[Depth]:
    """All of them, in one query of their index."""
    waits = (Job.status == "queued") & (Job.attempt == 0) & (Job.run_at <= func.now())
    since = func.greatest(Job.created_at, Job.run_at)
    rows = read(
        select(
            Job.kind,
            Job.status,
            func.count().label("total"),
            func.count().filter(Job.lease_until < func.now()).label("abandoned"),
            func.max(func.extract("epoch", func.now() - since)).filter(waits).label("oldest"),
        )
        .where(Job.status.in_(("queued", "running")))
        .group_by(Job.kind, Job.status)
        .order_by(Job.kind, Job.status)
    )
    return [
        Depth(
            row.kind,
            row.status,
            row.total,
            row.abandoned,
            None if row.oldest is None else float(row.oldest),
        )
        for row in rows
    ]
