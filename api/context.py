"""What surrounds every request: its id, its caller, and one line in the log at its end."""

import logging
import random
import re
import time

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
    sent = request.environ.get("HTTP_X_REQUEST_ID", "")
    # An id is to be told from others, not to be secret: no system call, unlike uuid4's.
    request_id = sent if _REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
    # Not `url_root`, which decodes the host only for it to be encoded again.
    base_url = f"{request.scheme}://{request.host}{request.root_path}/"
    caller.begin(caller.Caller(request_id=request_id, base_url=base_url))


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
