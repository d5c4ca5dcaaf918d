"""`/api/v1/imports`: a catalogue file goes in, a job comes out."""

from typing import IO

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

from api import auth, inputs
from api.v1.jobs import public
from catalog.formats.detection import FORMATS
from catalog.tasks import import_catalogue
from config import settings
from errors import FieldFault, Invalid, UnsupportedMediaType
from jobs import queue
from jobs.files import FileWriter, copy
from models import db

blueprint = Blueprint("imports", __name__)

_RAW_TYPES = ("text/csv", "application/csv", "text/plain", "application/octet-stream")
_MULTIPART = "multipart/form-data"
_POLL_SECONDS = "1"


@blueprint.post("")
def create_import() -> ResponseReturnValue:
    """Take in a catalogue file, as the body or as the form's `file`; a job imports it."""
    auth.authorize("products:write")
    inputs.known_parameters("format")
    chosen = inputs.choice("format", ("auto", *FORMATS), "auto")
    writer, filename = _received()
    writer.finish(db.session(), filename)
    job = queue.enqueue(
        db.session(),
        import_catalogue,
        kind="import",
        params={} if chosen == "auto" else {"format": chosen},
        file_id=writer.file_id,
    )
    shown = public(job)
    db.session.commit()
    return _accepted(shown)


def _accepted(job: dict[str, object]) -> Response:
    response = jsonify(job)
    response.status_code = 202
    response.headers["Location"] = job["links"]["self"]  # type: ignore[index]
    response.headers["Retry-After"] = _POLL_SECONDS
    return response


def _received() -> tuple[FileWriter, str | None]:
    """Stream the request's file into the database; returns it with its name, if it has one.

    Raises UnsupportedMediaType, TooLarge, and Invalid for a form of another shape.
    """
    if request.mimetype not in (*_RAW_TYPES, _MULTIPART):
        accepted = f"{', '.join(_RAW_TYPES)}, or {_MULTIPART} with the file as `file`"
        raise UnsupportedMediaType(f"Send the file as {accepted}.")
    # Only this address takes large bodies; the writer counts, since a body may tell no length.
    request.max_content_length = settings.max_import_bytes + 64 * 1024
    writer = FileWriter(db.engine, settings.max_import_bytes)
    try:
        if request.mimetype == _MULTIPART:
            return writer, _form_file(writer).filename
        copy(request.stream, writer)
        if not writer.size_bytes:
            raise Invalid("The body is empty: send the file.", code="empty_file")
    except BaseException:
        writer.discard()
        raise
    return writer, None


def _form_file(writer: FileWriter) -> FileStorage:
    """The form's one file, which werkzeug's parser writes through `writer` while it arrives."""
    received: list[str | None] = []

    def open_part(
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        received.append(filename)
        if len(received) > 1:
            raise _one_file()
        return writer  # type: ignore[return-value]  # the parser only writes

    parser = FormDataParser(stream_factory=open_part, max_form_parts=10)
    _, form, files = parser.parse(
        request.stream, request.mimetype, request.content_length, request.mimetype_params
    )
    if form or list(files) != ["file"]:
        raise _one_file()
    return files["file"]


def _one_file() -> Invalid:
    fault = FieldFault("one_file", "must be the form's only part", "/file")
    return Invalid("Send one form part, named file; options go into the query.", [fault])
