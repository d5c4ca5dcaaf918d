"""Celery's view of the job engine: the sweep, and the clock in every worker that asks for it."""

from contextlib import suppress
from typing import Any

from celery import bootsteps, shared_task
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import OperationalError
from redis import RedisError

from config import settings
from jobs import heartbeat
from jobs import sweep as sweeping
from models import db


@shared_task(name="jobs.sweep")
def sweep() -> None:
    """Wake the jobs that nobody works on."""
    sweeping.sweep(db.session())


class SweepClock(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Asks for a sweep from every worker, whichever options it was started with.

    A timer of the worker's own loop instead of `celery beat`: there is no further process to
    deploy, and the clock cannot be missing while a worker runs.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        self._worker = ""

    def start(self, consumer: Any) -> None:
        """Begin to tick once the consumer takes tasks."""
        self._worker = consumer.hostname
        self._timer = consumer.timer.call_repeatedly(settings.sweep_seconds, self._tick)

    def stop(self, _consumer: Any) -> None:
        """Stop ticking, on shutdown and on a lost connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        # An unclaimed tick expires, so that they do not pile up behind a busy worker.
        # Without a broker there is nothing to wake; the consumer itself reports that it is gone.
        with suppress(OperationalError, RedisError):
            heartbeat.beat(self._worker)
            sweep.apply_async(expires=settings.sweep_seconds, retry=False)
