"""Celery's view of the job engine: the sweep, and the clock in every worker that asks for it."""

import os
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any

from billiard import active_children, current_process
from celery import bootsteps, shared_task
from celery.signals import worker_process_init, worker_shutting_down
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import OperationalError
from redis import RedisError

from config import settings
from jobs import cleanup, heartbeat, schedules, stopping
from jobs import sweep as sweeping
from jobs.running import running
from models import db


@shared_task(name="jobs.sweep")
def sweep() -> None:
    """Wake the jobs that nobody works on."""
    sweeping.sweep(db.session())


@shared_task(name="jobs.clean_up")
def clean_up(job_id: int) -> None:
    """Delete what was kept long enough."""
    with running(job_id) as job:
        if job is not None:
            job.result = cleanup.run(job)


schedules.declare(cleanup.KIND, timedelta(hours=1), clean_up)


# The pool is told of a child's end a moment before it can see it, and then looks again after 5 s:
# https://github.com/celery/celery/issues/9588
_REPLACE_SECONDS = 0.1


class Clock(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Asks for a sweep, and replaces children that have ended, whatever a worker's options are.

    Timers of the worker's own loop instead of `celery beat`: there is no further process to
    deploy, and the clock cannot be missing while a worker runs.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timers: list[Any] = []
        self._worker = ""

    def start(self, consumer: Any) -> None:
        """Begin to tick once the consumer takes tasks."""
        self._worker = consumer.hostname
        self._timers = [
            consumer.timer.call_repeatedly(settings.sweep_seconds, self._tick),
            consumer.timer.call_repeatedly(_REPLACE_SECONDS, consumer.pool.maintain_pool),
        ]

    def stop(self, _consumer: Any) -> None:
        """Stop ticking, on shutdown and on a lost connection."""
        while self._timers:
            self._timers.pop().cancel()

    def _tick(self) -> None:
        # An unclaimed tick expires, so that they do not pile up behind a busy worker.
        # Without a broker there is nothing to wake; the consumer itself reports that it is gone.
        with suppress(OperationalError, RedisError):
            heartbeat.beat(self._worker)
            sweep.apply_async(expires=settings.sweep_seconds, retry=False)


@worker_process_init.connect
def _leave_the_end_to_the_parent(**_: Any) -> None:
    """Heroku sends SIGTERM to children too, which would end them in the middle of a step."""
    if current_process().name != "MainProcess":  # as in a solo pool
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, stopping.ask)


@worker_shutting_down.connect
def _stop_jobs(**_: Any) -> None:
    """Tell every process of the pool: Celery waits for their tasks, and only for those."""
    stopping.ask()
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGUSR2)
