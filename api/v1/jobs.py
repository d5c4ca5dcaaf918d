"""`/api/v1/jobs`."""

from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Row

from api import pages
from api.inputs import CURSOR, LIMIT
from api.operations import Answer, operation
from errors import NotFound
from jobs import queue
from models import Job, JSONObject
from schemas import JobErrorSchema, JobSchema

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/<int:job_id>")
@operation("jobs:read", answers={200: Answer("The job.", JobSchema)}, raises=(NotFound,))
def get_job(job_id: int) -> ResponseReturnValue:
    """Read one job: its status and live progress."""
    return public(queue.find(job_id))


@blueprint.get("/<int:job_id>/errors")
@operation(
    "jobs:read",
    query=(LIMIT, CURSOR),
    answers={200: Answer("Refused rows.", pages.of(JobErrorSchema), headers=("Link",))},
    raises=(NotFound,),
)
def list_job_errors(job_id: int, query: JSONObject) -> ResponseReturnValue:
    """List the refused rows of a job's file, in the order of the file."""
    kind = f"job-errors.{queue.find(job_id).id}"
    start = pages.position(kind, query["cursor"])
    found = queue.errors(job_id, query["limit"] + 1, start.key, backwards=start.backwards)
    page = pages.cut(found, query["limit"], start, lambda row: (row.line, row.id))
    return pages.respond(kind, page, pages.dumped(JobErrorSchema(), page))


def public(job: Job | Row[Any]) -> JSONObject:
    """A job as its owner sees it, with links."""
    shown: JSONObject = JobSchema().dump(job)
    shown["links"] = {
        "self": url_for("jobs.get_job", job_id=job.id, _external=True),
        "errors": url_for("jobs.list_job_errors", job_id=job.id, _external=True),
    }
    return shown
