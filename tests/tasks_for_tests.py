"""Tasks that only the tests' own workers know (`--include tests.tasks_for_tests`)."""

import logging
import os
import time

from celery import shared_task
from flask import url_for

from jobs import caller
from jobs.running import ResultFile, RunningJob, Step, running

log = logging.getLogger(__name__)


@shared_task(ignore_result=False)
def tell_caller() -> dict[str, str | None]:
    """What a task knows of the request that caused it."""
    log.info("telling who called")
    return {"url": url_for("products.list_products", _external=True), **caller.current().as_dict()}


@shared_task(ignore_result=False)
def die(job_id: int) -> None:
    """Claim a job and take the worker's process down with it."""
    with running(job_id) as job:
        if job is not None:
            os._exit(1)


@shared_task(name="tests.count")
def count(job_id: int) -> None:
    """Write the numbers from 0 on into the job's result file, one with each slow step."""
    with running(job_id) as job:
        if job is not None:
            for number in range(job.checkpoint.get("next", 0), job.params["total"]):
                _count_one(job, number)
            job.result_file = ResultFile("numbers.txt", "text/plain")


def _count_one(job: RunningJob, number: int) -> None:
    progress = {"total": job.params["total"], "processed": number + 1}

    def work(_: object) -> Step:
        time.sleep(job.params["seconds"])
        return Step(progress, output=b"%d\n" % number)

    job.step(work, checkpoint={"next": number + 1})
