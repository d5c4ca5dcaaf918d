"""`/api/v1/jobs`: background work, watched and controlled."""

from functools import partial
from typing import Any

from flask import Blueprint, Response, after_this_request, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Row

import values
from api import downloads, pages
from api.inputs import CURSOR, JSON, LIMIT, Parameter, by_rule, choice, times
from api.operations import Answer, operation
from catalog import reports
from errors import Conflict, Gone, NotFound, RangeNotSatisfiable
from jobs import queue
from models import JOB_STATUSES, Job, JSONObject, db
from schemas import JobErrorSchema, JobSchema

blueprint = Blueprint("jobs", __name__)

_POLL_SECONDS = "1"
_FILE: JSONObject = {"type": "string", "format": "binary"}
_FILE_TYPES = ("text/csv", "application/x-ndjson")  # of a report, by what was imported


def _statuses(sent: str) -> list[str]:
    found = values.comma_separated(sent, len(JOB_STATUSES))
    return [values.choice(JOB_STATUSES, status) for status in found]


_FILTERS = (
    by_rule("kind", values.label, "Only jobs of this kind."),
    choice("status", JOB_STATUSES, "Only jobs with this status."),
    Parameter(
        "status[in]",
        _statuses,
        {"type": "string", "minLength": 1},
        "Only jobs with one of these statuses, between commas.",
    ),
    *times("created_at", "jobs"),
)


@blueprint.get("")
@operation(
    "jobs:read",
    query=(LIMIT, CURSOR, *_FILTERS),
    answers={200: Answer("A page of jobs.", pages.of(JobSchema), headers=("Link",))},
)
def list_jobs(query: JSONObject) -> ResponseReturnValue:
    """List jobs, the newest first."""
    return pages.listed("jobs", query, partial(queue.page, query), partial(map, public))


@blueprint.get("/<int:job_id>")
@operation("jobs:read", answers={200: Answer("The job.", JobSchema)}, raises=(NotFound,))
def get_job(job_id: int) -> ResponseReturnValue:
    """Read one job: its status and live progress."""
    return public(queue.find(job_id))


@blueprint.post("/<int:job_id>/cancel")
@operation(
    "jobs:write",
    answers={200: Answer("The job, canceled.", JobSchema)},
    raises=(NotFound, Conflict),
)
def cancel_job(job_id: int) -> ResponseReturnValue:
    """Cancel a job; what it has done stays, as its progress says, and a retry goes on from there.

    Takes effect at once: of the step that a worker is in, nothing is written any more.
    """
    return public(queue.cancel(db.session(), job_id))


@blueprint.post("/<int:job_id>/retry")
@operation(
    "jobs:write",
    answers={202: Answer("The job, queued again.", JobSchema, headers=("Location", "Retry-After"))},
    raises=(NotFound, Conflict, Gone),
)
def retry_job(job_id: int) -> ResponseReturnValue:
    """Do again what of a job failed, was refused or was left; what is done is not done twice."""
    return accepted(public(queue.retry(db.session(), job_id)))


@blueprint.get("/<int:job_id>/errors")
@operation(
    "jobs:read",
    query=(
        LIMIT,
        CURSOR,
        choice(
            "format",
            ("json", "csv"),
            "`csv`, or an `Accept` that prefers it, gives all refused rows as they were sent, with"
            " `_line` and `_error`, to be mended and sent again; where JSON was sent, as NDJSON.",
        ),
    ),
    answers={
        200: Answer(
            "Refused rows.",
            pages.of(JobErrorSchema),
            headers=("Link",),
            file_types=_FILE_TYPES,
        )
    },
    raises=(NotFound, Gone),
)
def list_job_errors(job_id: int, query: JSONObject) -> ResponseReturnValue:
    """List the refused rows of a job's file, in the order of the file."""
    job = queue.find(job_id)
    prefers_file = request.accept_mimetypes.best_match((JSON, *_FILE_TYPES)) in _FILE_TYPES
    if query["format"] == "csv" or (query["format"] is None and prefers_file):
        return _mendable(job)
    return pages.listed(
        f"job-errors.{job.id}",
        query,
        partial(queue.errors, job.id),
        JobErrorSchema(many=True).dump,
        key=lambda row: (row.line, row.id),
    )


def _mendable(job: Row[Any]) -> Response:
    """The refused rows as a file, which is read and sent bit by bit."""
    media_type, rows = reports.failed_rows(job)
    response = Response(rows, content_type=media_type)
    extension = "csv" if response.mimetype == "text/csv" else "ndjson"
    response.headers.set(
        "Content-Disposition", "attachment", filename=f"errors-{job.id}.{extension}"
    )
    response.vary.add("Accept")
    return response


@blueprint.get("/<int:job_id>/result")
@operation(
    "jobs:read",
    headers=downloads.REQUEST_HEADERS,
    answers={
        200: Answer("The file.", _FILE, downloads.ANSWER_HEADERS, "*/*"),
        206: Answer("A part.", _FILE, (*downloads.ANSWER_HEADERS, "Content-Range"), "*/*"),
        304: Answer("The client has it already.", headers=("ETag",)),
    },
    raises=(NotFound, Conflict, Gone, RangeNotSatisfiable),
)
def get_job_result(job_id: int) -> ResponseReturnValue:
    """Download the file that a job has made; with `Range`, where an earlier download stopped."""
    job = queue.find(job_id)
    if job.finished_at is None:
        after_this_request(_ask_again)
    return downloads.send(queue.result_file(job))


def public(job: Job | Row[Any]) -> JSONObject:
    """A job as its owner sees it, with links to what can be done with it."""
    shown: JSONObject = JobSchema().dump(job)
    views = {"self": "get_job", "errors": "list_job_errors"}
    if job.status == "succeeded" and job.result_file_id is not None:
        views["result"] = "get_job_result"
    if job.finished_at is None:
        views["cancel"] = "cancel_job"
    elif job.status != "succeeded" or shown["progress"]["failed"]:
        views["retry"] = "retry_job"
    shown["links"] = {
        name: url_for(f"jobs.{view}", job_id=job.id, _external=True) for name, view in views.items()
    }
    return shown


def accepted(job: JSONObject) -> Response:
    """The answer of a route that has left its work to a job."""
    response = jsonify(job)
    response.status_code = 202
    response.headers["Location"] = job["links"]["self"]
    return _ask_again(response)


def _ask_again(response: Response) -> Response:
    response.headers["Retry-After"] = _POLL_SECONDS
    return response
