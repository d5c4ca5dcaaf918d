"""Jobs that come again and again: each worker's sweep asks, and one of them puts the job in.

What comes when is declared in code, next to its task; the table holds no more than when it is due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import Task
from sqlalchemy import ColumnElement, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from jobs import queue
from models import Schedule


@dataclass(frozen=True, slots=True)
class Declared:
    """A job of kind `name` that `task` does every so often."""

    name: str
    every: timedelta
    task: Task[Any, Any]


_declared: dict[str, Declared] = {}


def declare(name: str, every: timedelta, task: Task[Any, Any]) -> None:
    """Have a job put in every so often, by the clock; the first one when that time has passed."""
    _declared[name] = Declared(name, every, task)


_lookouts: list[Callable[[Session], None]] = []


def look_out(enqueue: Callable[[Session], None]) -> None:
    """Have each sweep call `enqueue`, which puts in jobs for what it finds to be due."""
    _lookouts.append(enqueue)


def enqueue_due(session: Session) -> None:
    """Put in each job that is due, once, however many rounds were missed."""
    for enqueue in _lookouts:
        enqueue(session)
    for schedule in _declared.values():
        first = {"name": schedule.name, "due_at": func.now() + schedule.every}
        session.execute(insert(Schedule).values(first).on_conflict_do_nothing())
        due = update(Schedule).where(Schedule.name == schedule.name, Schedule.due_at <= func.now())
        if session.execute(due.values(due_at=_next(schedule.every)).returning(Schedule.name)).all():
            queue.enqueue(session, schedule.task, schedule.name)


def _next(every: timedelta) -> ColumnElement[Any]:
    missed = func.floor(func.extract("epoch", func.now() - Schedule.due_at) / every.total_seconds())
    return Schedule.due_at + every * (1 + missed)
