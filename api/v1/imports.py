"""`/api/v1/imports`: a catalogue file goes in, a job comes out."""

from hashlib import blake2b
from typing import IO, Self

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

import values
from api.inputs import JSON, Parameter, choice, flag
from api.operations import Answer, Body, operation
from api.v1.jobs import accepted, public
from catalog import import_options, staging
from catalog.formats.detection import FORMATS
from catalog.tasks import import_catalogue
from config import settings
from errors import FieldFault, Invalid, UnsupportedMediaType
from jobs import queue
from jobs.files import FileWriter, copy
from models import JSONObject, db
from schemas import MAX_OPTIONS, JobSchema

blueprint = Blueprint("imports", __name__)

_RAW_TYPES = (
    *("text/csv", "application/csv", "text/plain", "application/octet-stream"),
    *(JSON, "application/x-ndjson"),
)
_MULTIPART = "multipart/form-data"
_MOST_FIELD_BYTES = 1024 * 1024  # of what is no file, which is held in memory
_FILE: JSONObject = {"type": "string", "format": "binary", "minLength": 1}


class Upload(FileWriter):
    """The request's file on its way into the database; it is deleted again unless finished."""

    def __init__(self) -> None:
        super().__init__(db.engine, settings.max_import_bytes)
        self.filename: str | None = None
        self._digest = blake2b(digest_size=32)
        self._finished = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # as FileWriter
        """Take some bytes."""
        self._digest.update(data)
        return super().write(data)

    def complete(self) -> None:
        """Store the rest: inside a transaction that would take a second connection."""
        if self._buffer:
            self._store(bytes(self._buffer))
            self._buffer.clear()

    def finish(self, session: Session, filename: str | None) -> None:
        """Declare the file whole, within the caller's transaction, whose it is from now on."""
        super().finish(session, filename)
        self._finished = True

    def digest(self) -> bytes:
        """A hash of the file's bytes."""
        return self._digest.digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished:
            self.discard()


def _received() -> Upload:
    """Stream the request's file into the database.

    Raises UnsupportedMediaType, TooLarge, and Invalid for a form of another shape.
    """
    if request.mimetype not in (*_RAW_TYPES, _MULTIPART):
        accepted = f"{', '.join(_RAW_TYPES)}, or {_MULTIPART} with the file as `file`"
        raise UnsupportedMediaType(f"Send the file as {accepted}.")
    # Only this address takes large bodies; the writer counts, since a body may tell no length.
    request.max_content_length = settings.max_import_bytes + 64 * 1024
    upload = Upload()
    try:
        if request.mimetype == _MULTIPART:
            upload.filename = _printable(_form_file(upload).filename or "")
        else:
            copy(request.stream, upload)
        if not upload.size_bytes:
            raise Invalid("The body is empty: send the file.", code="empty_file")
        upload.complete()
    except BaseException:
        upload.discard()
        raise
    return upload


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

    parser = FormDataParser(
        stream_factory=open_part, max_form_memory_size=_MOST_FIELD_BYTES, max_form_parts=10
    )
    body = request.stream  # 413 for one that says that it is too large
    try:
        _, form, files = parser.parse(
            body, request.mimetype, request.content_length, request.mimetype_params
        )
    except RequestEntityTooLarge:
        raise _one_file() from None  # there was much that is no file
    if form or list(files) != ["file"]:
        raise _one_file()
    return files["file"]


def _printable(filename: str) -> str:
    """A name as it can be stored and shown: a client may send anything."""
    return "".join(filter(str.isprintable, filename))[: values.LABEL_LIMIT]


def _one_file() -> Invalid:
    fault = FieldFault("one_file", "must be the form's only part", "/file")
    return Invalid("Send one form part, named file; options go into the query.", [fault])


_OPTIONS = (
    choice("format", ("auto", *FORMATS), "The file's format.", default="auto"),
    choice(
        "mode",
        staging.MODES,
        "Which rows take effect: all of them, those of new products, or those of products that"
        " are there. The others are refused.",
        default="upsert",
    ),
    flag(
        "dry_run",
        "Do all the checks and write nothing: the job's result file tells, in a line for each"
        " product, what would be created or changed.",
    ),
    flag(
        "events",
        "Write an event for each product that is created or changed. Without it, `job.finished`"
        " is the only event of an import.",
    ),
    choice(
        "blank",
        import_options.BLANK,
        "What a blank cell does with the value that is stored. An absent column always keeps it.",
        default="keep",
    ),
    choice(
        "on_error",
        import_options.ON_ERROR,
        "Whether a row that is refused ends the import: what stands before its product is done"
        " then, and nothing after it. A retry goes on from there.",
        default="continue",
    ),
    Parameter(
        "encoding",
        import_options.encoding,
        {"type": "string", "enum": list(import_options.ENCODINGS)},
        "How the file's text is encoded, by any name that Python knows for one of these; without"
        " it, that is found out.",
    ),
    Parameter(
        "delimiter",
        import_options.delimiter,
        {"type": "string", "enum": list(import_options.DELIMITERS)},
        "What stands between two cells of a CSV file; without it, that is found out.",
    ),
    Parameter(
        "mapping",
        import_options.mapping,
        {"type": "string", "contentMediaType": JSON},
        "For a CSV file of any other kind: a JSON object of our fields and the columns that feed"
        f" them. The fields are {', '.join(import_options.MAPPED_FIELDS[: -2 * MAX_OPTIONS])},"
        " `option1_name`, `option1_value` and so on.",
    ),
)
_DEFAULTS = {parameter.name: parameter.default for parameter in _OPTIONS}


@blueprint.post("")
@operation(
    "products:write",
    query=_OPTIONS,
    body=Body(_FILE, (*_RAW_TYPES, _MULTIPART), reader=_received),
    answers={202: Answer("A job imports it.", JobSchema, headers=("Location", "Retry-After"))},
)
def create_import(query: JSONObject, sent: Upload) -> ResponseReturnValue:
    """Take in a catalogue file, as the body or as the form's `file`; a job imports it.

    Columns and rows that the file lacks never delete anything. A row that is refused has no
    effect, and the job's `errors` say why.
    """
    sent.finish(db.session(), sent.filename)
    chosen = {name: value for name, value in query.items() if value != _DEFAULTS[name]}
    job = queue.enqueue(
        db.session(), import_catalogue, kind="import", params=chosen, file_id=sent.file_id
    )
    return accepted(public(job))
