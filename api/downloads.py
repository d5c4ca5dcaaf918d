"""Stored files on their way out: whole, or the part that `Range` asks for (RFC 9110 §14)."""

import re
from typing import Any

from flask import Response, after_this_request, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Row
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import FileWrapper

from api import conditional
from errors import RangeNotSatisfiable
from jobs.files import FileReader

REQUEST_HEADERS = ("If-None-Match", "Range", "If-Range")
ANSWER_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
_PIECE_BYTES = 64 * 1024
# A server may ignore what it does not serve: other units, and several ranges at once (§14.2).
_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(?:[0-9]{1,18}-(?:[0-9]{1,18})?|-([0-9]{1,18}))\s*")


def send(file: Row[Any]) -> ResponseReturnValue:
    """A row of `files` as an attachment, read from the database while the client takes it.

    Raises RangeNotSatisfiable for a range behind the file's end.
    """
    # A file only grows, and not while it is sent: its size tells its state.
    tag = f"{file.id}.{file.size_bytes}"
    if same := conditional.not_modified(tag):
        return same
    # Not the server's own wrapper, which knows no ranges.
    pieces = FileWrapper(FileReader(file.id), _PIECE_BYTES)  # type: ignore[arg-type]  # readable
    response = Response(pieces, mimetype=file.media_type, direct_passthrough=True)
    response.set_etag(tag)
    response.headers.set("Content-Disposition", "attachment", filename=file.filename)
    response.content_length = file.size_bytes
    try:
        return response.make_conditional(_range(file.size_bytes), True, file.size_bytes)
    except RequestedRangeNotSatisfiable:
        size_bytes: int = file.size_bytes
    after_this_request(lambda answer: _tell_size(answer, size_bytes))
    raise RangeNotSatisfiable(f"The file has {size_bytes} bytes.")


def _range(size_bytes: int) -> dict[str, str]:
    """What of the request is about ranges; they mean something to GET alone.

    Of a file that is shorter than the end that was asked for, all of it is that end.
    """
    sent = request.environ
    environ = {"REQUEST_METHOD": "GET"}
    found = _ONE_RANGE.fullmatch(sent.get("HTTP_RANGE", "")) if request.method == "GET" else None
    if found and int(found[1] or 0) < size_bytes:
        environ |= {name: sent[name] for name in ("HTTP_RANGE", "HTTP_IF_RANGE") if name in sent}
    return environ


def _tell_size(answer: Response, size_bytes: int) -> Response:
    answer.headers["Content-Range"] = f"bytes */{size_bytes}"
    return answer
