"""What surrounds every request: its id, its caller, and one line in the log at its end."""

import logging
import re
import time
import uuid

from flask import Flask, Response, g, request

from jobs import caller

log = logging.getLogger(__name__)

# What is taken over from a client; anything else could forge log lines or grow them.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def init_app(app: Flask) -> None:
    """Run `_begin` and `_end` around every request, unmatched URLs included."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    sent = request.headers.get("X-Request-ID", "")
    request_id = sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())
    caller.begin(caller.Caller(request_id=request_id, base_url=request.url_root))


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = caller.current().request_id or ""
    log.info(
        "%s %s %s %.1fms",
        request.method,
        request.url_rule.rule if request.url_rule else request.path,
        response.status_code,
        (time.perf_counter() - g.started) * 1000,
    )
    return response
