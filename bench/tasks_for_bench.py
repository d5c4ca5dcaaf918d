"""Nothing to do, as a job of ours and as a task of a bare Celery with our settings.

`celery -A tasks.celery worker --include bench.tasks_for_bench` runs the one,
`celery -A bench.tasks_for_bench:bare worker` the other.
"""

from celery import Celery, shared_task

from config import settings
from jobs.running import running
from tasks import CELERY_SETTINGS

bare = Celery("bare", broker=settings.redis_url, backend=settings.redis_url, set_as_current=False)
bare.conf.update(CELERY_SETTINGS)


@bare.task(name="bench.nothing")
def nothing(number: int) -> int:
    """Return what was sent."""
    return number


@shared_task(name="bench.nothing_as_a_job")
def nothing_as_a_job(job_id: int) -> None:
    """Claim a job and end it."""
    with running(job_id):
        pass
