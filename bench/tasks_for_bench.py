"""Nothing to do, as a job of ours and as a task of a bare Celery with our settings.

`celery -A tasks.celery worker --include bench.tasks_for_bench` runs the one,
`celery -A bench.tasks_for_bench:bare worker` the other.
"""

from functools import cache

import psycopg2
from celery import Celery, shared_task
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class

from config import settings
from jobs.running import running
from tasks import CELERY_SETTINGS

bare = Celery("bare", broker=settings.redis_url, backend=settings.redis_url, set_as_current=False)
bare.conf.update(CELERY_SETTINGS)


@bare.task(name="bench.nothing")
def nothing(number: int) -> int:
    """Return what was sent."""
    return number


@bare.task(name="bench.two_commits")
def two_commits(job_id: int) -> None:
    """Write a job's row as it is claimed and as it ends, and nothing else."""
    with _connection().cursor() as cursor:
        cursor.execute(
            "UPDATE jobs SET status = 'running', lease_until = now() + interval '60 s',"
            " started_at = now(), attempt = attempt + 1 WHERE id = %s",
            [job_id],
        )
        cursor.execute(
            "UPDATE jobs SET status = 'succeeded', lease_until = NULL, finished_at = now()"
            " WHERE id = %s",
            [job_id],
        )


@cache
def _connection() -> Connection:
    """One for each process, which commits each statement."""
    made = psycopg2.connect(settings.database_url.replace("+psycopg2", ""))
    made.autocommit = True
    return made


@shared_task(name="bench.nothing_as_a_job")
def nothing_as_a_job(job_id: int) -> None:
    """Claim a job and end it."""
    with running(job_id):
        pass
