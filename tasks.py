"""Celery's door: `celery -A tasks.celery worker`, and the app that web processes share.

The one place that knows both Flask and Celery. Settings follow the rule that the job's row in
PostgreSQL is the truth: a lost or repeated message may cost time, never work.
"""

import gc
import logging
import time
from functools import lru_cache
from typing import Any

from celery import Celery, Task, shared_task
from celery.signals import setup_logging, worker_init, worker_process_init
from flask import Flask, has_app_context
from flask.testing import EnvironBuilder
from kombu.transport import TRANSPORT_ALIASES
from werkzeug.routing import MapAdapter

import catalog.tasks  # noqa: F401  # registers its tasks
import notify.tasks  # noqa: F401  # and these
from api.app import create_app
from api.logs import configure_logging
from config import settings
from jobs.caller import Caller, acting_for, current
from jobs.tasks import Clock
from models import db

log = logging.getLogger(__name__)


class ContextTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task that runs inside the app context, on behalf of the request that caused it.

    The caller (request id, base URL, key id) travels in the message's headers. The task's log lines
    bear its request id, and `url_for(..., _external=True)` builds links to the caller's host.
    """

    abstract = True
    flask_app: Flask

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task, with the current caller in its headers."""
        options["headers"] = {"caller": current().as_dict(), **(options.get("headers") or {})}
        return super().apply_async(args, kwargs, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in its caller's context."""
        if has_app_context():  # called as a function by something that has a context already
            return self.run(*args, **kwargs)
        caller = Caller(**(self.request.get("caller") or {}))
        with acting_for(caller), self.flask_app.app_context() as context:
            context.url_adapter = _links(self.flask_app, caller.base_url)
            return self.run(*args, **kwargs)


@lru_cache(maxsize=64)
def _links(app: Flask, base_url: str | None) -> MapAdapter:
    """What builds links to this address, as in a request that was sent there."""
    return app.url_map.bind_to_environ(EnvironBuilder(app, base_url=base_url).get_environ())


def make_celery(app: Flask) -> Celery:
    """Celery for this app: `REDIS_URL` is broker and result backend, tasks are ContextTasks."""
    celery = Celery(
        app.import_name,
        broker=settings.redis_url,
        backend=settings.redis_url,
        task_cls=type("AppContextTask", (ContextTask,), {"flask_app": app, "abstract": True}),
    )
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "jobs.broker:Transport"))
    celery.conf.update(CELERY_SETTINGS)
    celery.steps["consumer"].add(Clock)
    # Without it `@shared_task` finds no broker from any thread but this one.
    celery.set_default()
    return celery


CELERY_SETTINGS = {
    # A message is done with after its task, and goes back when the child that ran it dies.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    # A worker that holds messages it cannot start yet keeps them from idle workers.
    "worker_prefetch_multiplier": 1,
    # What fits a 512 MB dyno, and its connections the smallest PostgreSQL.
    "worker_concurrency": 2,
    # No task comes near these (jobs hand themselves back after 200 s): a hung one is ended.
    "task_soft_time_limit": 300,
    "task_time_limit": 360,
    # A child that has grown is replaced between two tasks, before a 512 MB dyno swaps (KB).
    "worker_max_memory_per_child": 150_000,
    "worker_max_tasks_per_child": 500,
    # Results are read by whoever asks for them with `ignore_result=False`; jobs have their row.
    "task_ignore_result": True,
    "result_expires": 3600,
    # A worker survives Redis being away, at its start and later, for as long as it takes.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Their messages come again, and a job that nobody stopped would be claimed by no one else.
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "broker_transport_options": {
        # Publishing gives up at once where Redis is away, instead of holding a request for the
        # 6 s that kombu would try: the sweep publishes again. Consumers reconnect regardless.
        "max_retries": 0,
        "interval_start": 0,
        "socket_connect_timeout": 0.25,
        "socket_timeout": 0.25,  # where Redis hangs; a waiting consumer reads only what is there
        # A consumer whose connection died without a word looks for another one after 6 to 11 s.
        "health_check_interval": 5,
        # What a killed worker had fetched, the sweep sends again. Kombu would keep a second account
        # of it in Redis, whose writes end the worker where Redis is full, or was away meanwhile.
        "ack_emulation": False,
    },
    # Of results, which `very_slow_add` alone has: whoever waits for one does not wait for ever.
    "redis_socket_timeout": 5,
    "redis_socket_connect_timeout": 0.8,
    # Heroku's smallest Redis allows 20 connections, and releases overlap: a web process keeps one
    # to publish with, a worker's keep none (see `_keep_no_publisher`).
    "broker_pool_limit": 1,
    "redis_max_connections": 4,
    # Each would hold a connection more; so would gossip, mingle and heartbeats, which the Procfile
    # switches off.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    # Pickle would run whatever someone with access to Redis puts there.
    "task_serializer": "json",
    "accept_content": ["json"],
    "timezone": "UTC",  # as all times here
}

app = create_app()
celery = make_celery(app)


@setup_logging.connect
def _log_like_the_app(loglevel: int | str | None = None, **_: Any) -> None:
    """Keep Celery from installing its own format, which knows no request id."""
    configure_logging(loglevel or settings.log_level)
    # A job writes a line of its own. These would tell of each task twice: of the sweep as well.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_init.connect
def _keep_no_publisher(**_: Any) -> None:
    """Each process of a worker would keep a connection for the little that it publishes."""
    celery.conf.broker_pool_limit = 0


@worker_init.connect
def _look_no_more_for_garbage_in_what_is_loaded(**_: Any) -> None:
    """Celery collects garbage before each child that it starts, and hands out nothing meanwhile."""
    gc.collect()
    gc.freeze()


@worker_process_init.connect
def _forget_inherited_connections(**_: Any) -> None:
    """Two processes on one socket garble each other's results: a child makes its own."""
    with app.app_context():
        db.engine.dispose(close=False)


@shared_task(ignore_result=False)
def very_slow_add(a: int, b: int) -> int:
    """Add two numbers in 3 seconds: the smoke test that web, Redis and worker are wired."""
    log.info("adding %s and %s, slowly", a, b)
    time.sleep(3)
    return a + b


@app.shell_context_processor
def _shell() -> dict[str, Any]:
    return {"celery": celery, "db": db, "very_slow_add": very_slow_add}
