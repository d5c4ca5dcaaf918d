"""`/api/v1/jobs`."""

import json
from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Row

from api import auth, inputs, pages
from jobs import queue
from models import Job, JSONObject
from schemas import JobErrorSchema, JobSchema

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/<int:job_id>")
def get_job(job_id: int) -> ResponseReturnValue:
    """One job: its status and live progress."""
    auth.authorize("jobs:read")
    inputs.known_parameters()
    return public(queue.find(job_id))


@blueprint.get("/<int:job_id>/errors")
def list_job_errors(job_id: int) -> ResponseReturnValue:
    """The refused rows of a job's file, in the order of the file."""
    auth.authorize("jobs:read")
    inputs.known_parameters("limit", "cursor")
    limit = inputs.limit()
    kind = f"job-errors.{queue.find(job_id).id}"
    line, error_id = pages.cursor(kind) or (0, 0)
    found = queue.errors_after(job_id, (line, error_id), limit + 1)
    shown = [json.dumps(JobErrorSchema().dump(error)) for error in found[:limit]]
    more = (found[limit - 1].line, found[limit - 1].id) if len(found) > limit else None
    return pages.page(kind, shown, more)


def public(job: Job | Row[Any]) -> JSONObject:
    """A job as its owner sees it, with links."""
    shown: JSONObject = JobSchema().dump(job)
    shown["links"] = {
        "self": url_for("jobs.get_job", job_id=job.id, _external=True),
        "errors": url_for("jobs.list_job_errors", job_id=job.id, _external=True),
    }
    return shown
