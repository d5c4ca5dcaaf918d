"""A PostgreSQL, a Redis and the Procfile's processes on them, all there to be harmed."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg2
import redis
from celery import Celery
from psycopg2.extras import NamedTupleCursor

from dev.services import ONCE, Postgres, Redis, Server, free_port
from tests.processes import BIN, ROOT, Web, Worker, wait_for

# Not the session's: pytest may load this before tests/conftest.py has set the environment.
KEY = "a-key-for-the-fault-tests-alone"
ADMIN = {"Authorization": f"Bearer {KEY}"}

# Limits that design §5 promises.
PUBLISHING_SECONDS = 1.0  # until publishing gives up
EXIT_SECONDS = 25.0  # from the first SIGTERM
# For what has no limit of its own but must come, on however slow a machine.
PATIENCE_SECONDS = 120.0


class LookingWorker(Worker):
    """A worker that finds no broker at its start, or one that is full."""

    def is_ready(self) -> bool:
        """Whether it has found out."""
        found = ("Cannot connect to redis", "Connection to broker lost")
        return any(each in self.output() for each in found)


class Stack:
    """Servers of the fault tests' own: those of the other tests are never stopped or filled."""

    def __init__(self, data: Path, logs: Path) -> None:
        """Keep what the servers store in `data`, what the Procfile's processes say in `logs`."""
        self.logs = logs
        # Durable, as it is in production: what was acknowledged must outlive its processes.
        self.postgres = Postgres(data / "postgres", free_port())
        self.redis = Redis(data / "redis", free_port(), durable=False)
        self.environment = {
            "DATABASE_URL": self.postgres.url("pushcart"),
            "REDIS_URL": self.redis.url,
            "ADMIN_API_KEY": KEY,
            "RATE_LIMIT": "1000000",  # so that each request asks Redis
        }

    def __enter__(self) -> Self:
        self.postgres.start()
        self.redis.start()
        self.postgres.create_database("pushcart")
        subprocess.run(
            [str(BIN / "flask"), "--app", "wsgi", "db", "upgrade"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        resume(self.redis)
        self.redis.stop()
        self.postgres.stop()

    def worker(self, *options: str, **environment: str) -> Worker:
        """A Celery worker on these servers, not yet started."""
        return Worker(self._new_folder("worker"), *options, **{**self.environment, **environment})

    def worker_without_redis(self) -> Worker:
        """A worker that counts as started while it still looks for its broker."""
        return LookingWorker(self._new_folder("worker"), **self.environment)

    def web(self, **environment: str) -> Web:
        """A gunicorn on these servers, not yet started."""
        return Web(self._new_folder("web"), **{**self.environment, **environment})

    def _new_folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.logs))

    def heal(self) -> None:
        """Let both servers answer again, and empty them."""
        resume(self.redis)
        for server in (self.redis, self.postgres):
            if server.process is None or server.process.poll() is not None:
                server.start()
        with self.asking_redis() as client:
            client.config_set("maxmemory", 0)
            client.flushall()
        self.rows(
            "TRUNCATE products, variants, stock_movements, orders, jobs, job_errors, files,"
            " idempotent_answers, schedules, events, webhooks, mails CASCADE"
        )

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A connection of its own; what was not committed is rolled back."""
        with (
            closing(psycopg2.connect(self.postgres.url("pushcart"))) as connection,
            connection.cursor(cursor_factory=NamedTupleCursor) as cursor,
        ):
            yield cursor

    def rows(self, sql: str, *values: object) -> list[Any]:
        """The rows of a statement, which is committed."""
        with self._cursor() as cursor:
            cursor.execute(sql, values)
            rows = cursor.fetchall() if cursor.description is not None else []
            cursor.connection.commit()
        return list(rows)

    @contextmanager
    def holding(self, sql: str, *values: object) -> Iterator[None]:
        """Hold the locks of a statement for a block."""
        with self._cursor() as cursor:
            cursor.execute(sql, values)
            yield

    def clients_of_postgresql(self) -> list[int]:
        """The processes of PostgreSQL that serve somebody else."""
        sql = (
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return [row.pid for row in self.rows(sql)]

    def waiting_for_locks(self) -> int:
        """How many connections wait for a lock."""
        return int(self.rows("SELECT count(*) FROM pg_locks WHERE NOT granted")[0].count)

    @contextmanager
    def asking_redis(self) -> Iterator[Any]:
        """A client of Redis."""
        with closing(redis.Redis(port=self.redis.port, socket_timeout=5, retry=ONCE)) as client:
            yield client

    def deliver(self, task: str, job_id: int, times: int = 1) -> None:
        """Send a job's wake-up, as often as told."""
        with Celery(broker=self.redis.url, set_as_current=False) as sender:
            for _ in range(times):
                sender.send_task(task, args=[job_id], ignore_result=True)

    def put_in(self, task: str) -> int:
        """A job that no message was ever sent for; the sweep finds it."""
        sql = "INSERT INTO jobs (kind, task) VALUES ('test', %s) RETURNING id"
        return int(self.rows(sql, task)[0].id)

    def traces(self, job_id: int) -> int:
        """How often a job of `tasks.TRACE` took effect."""
        sql = "SELECT count(*) FROM products WHERE name = %s"
        return int(self.rows(sql, f"trace of {job_id}")[0].count)

    def job(self, job_id: int) -> Any:
        """The row of a job."""
        return self.rows("SELECT * FROM jobs WHERE id = %s", job_id)[0]


def suspend(server: Server) -> None:
    """Let a server hang: the system still takes connections for it, and nobody answers."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)


def resume(server: Server) -> None:
    """Let it go on."""
    if server.process is not None and server.process.poll() is None:
        server.process.send_signal(signal.SIGCONT)


def end(server: Server, how: signal.Signals) -> None:
    """End a server by this signal: connections to it are refused from now on."""
    assert server.process is not None
    server.process.send_signal(how)
    server.process.wait(30)
    server.process = None


def gone_by(deadline: float, processes: Sequence[psutil.Process]) -> bool:
    """Whether all of them end in time; one that only waits for its parent to ask has ended."""

    def ended(process: psutil.Process) -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    while time.monotonic() < deadline:
        if all(ended(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def ended(stack: Stack, job_id: int) -> Any:
    """The row of a job, once it has ended."""

    def probe() -> Any:
        job = stack.job(job_id)
        return job if job.finished_at else None

    return wait_for(f"job {job_id} ends", probe, PATIENCE_SECONDS)
