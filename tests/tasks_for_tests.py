"""Tasks that only the tests' own workers know (`--include tests.tasks_for_tests`)."""

import logging

from celery import shared_task
from flask import url_for

from jobs import caller

log = logging.getLogger(__name__)


@shared_task(ignore_result=False)
def tell_caller() -> dict[str, str | None]:
    """What a task knows of the request that caused it."""
    log.info("telling who called")
    return {"url": url_for("products.list_products", _external=True), **caller.current().as_dict()}
