"""How gunicorn serves; `gunicorn wsgi:app` reads this file by itself."""

import ctypes
import gc
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from typing import Any

# Where the processes count together; set before anything imports prometheus_client.
metrics_folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="pushcart-")

from prometheus_client.multiprocess import mark_process_dead
from sqlalchemy.orm import configure_mappers

from api.serving import Log, PatientWorker
from config import settings
from models import db
from wsgi import app


def _address() -> str:
    """All IPv6 addresses, which take IPv4 too, on Heroku's private networks and elsewhere."""
    port = os.environ.get("PORT", "5000")
    return f"[::]:{port}" if socket.has_dualstack_ipv6() else f"0.0.0.0:{port}"


bind = _address()
worker_class = PatientWorker  # slow clients hold no thread
logger_class = Log  # no line holds what a client has sent
# How many workers, `WEB_CONCURRENCY` says: two on the small dynos.
threads = 3  # as many as there are connections in the pool (api/app.py): none waits for another's
# What the router says of the client's scheme is believed where there is a router, and only there;
# what a client says of the path inside it, which gunicorn would believe as well, never is.
forwarded_allow_ips = "*" if settings.trust_forwarded_for else ""
forwarder_headers = ""
# The head of a request in bytes; Heroku's router lets as much pass.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
# Copy-on-write: the workers share what the app has loaded.
preload_app = True
# Heroku's router ends a request after 30 s (H12): ours ends first, with a line in the log.
timeout = 20
# A dyno is killed 30 s after SIGTERM: whoever has not been answered by now is told so before.
graceful_timeout = 20
# Longer than the router keeps an idle connection (90 s): a server that hangs up first is H13.
keepalive = 95
# Whatever leaks is returned after a while; the jitter keeps workers from leaving together.
max_requests = 50_000
max_requests_jitter = 5_000
# No one uses it, and a dyno has no one to protect it from.
control_socket_disable = True


# What SQLAlchemy would otherwise do in each worker's first request.
configure_mappers()

# What is loaded stays: to look through it for garbage would hold up requests, and copy it.
gc.collect()
gc.freeze()

# One heap for all threads, of which one runs at a time: glibc gives each its own, and each keeps
# what it has freed.
_M_ARENA_MAX = -8
with suppress(AttributeError):  # of another C library
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def post_fork(server: Any, worker: Any) -> None:
    """Forget inherited connections: two processes on one socket garble each other's results."""
    with app.app_context():
        db.engine.dispose(close=False)


def child_exit(server: Any, worker: Any) -> None:
    """Forget what only a living process can say; what a dead one has counted still counts."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Leave no files behind."""
    shutil.rmtree(metrics_folder, ignore_errors=True)
