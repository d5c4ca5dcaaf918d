"""bin/run: local services, the release step, then web and worker together, until Ctrl-C.

What was started ends in reverse order, the app before the servers it needs.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil
from dotenv import load_dotenv

from dev.errors import ServiceError
from dev.services import local_services, reachable
from dev.welcome import welcome

ROOT = Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
END_TIMEOUT_SECONDS = 30.0


def main() -> int:
    """Run everything; return the exit code, which is never 0 when a process ended by itself."""
    load_dotenv(ROOT / ".env")
    os.environ.setdefault("PORT", "5000")
    os.environ["PYTHONUNBUFFERED"] = "1"
    port = int(os.environ["PORT"])
    # The local key is public knowledge: only this machine may use it.
    os.environ.setdefault("GUNICORN_CMD_ARGS", f"--bind 127.0.0.1:{port}")
    end_on_signals()
    adopt_orphans()
    if reachable("localhost", port):
        raise ServiceError(f"Port {port} is taken; choose another: PORT={port + 1} bin/run")
    with local_services(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], ROOT / ".dev"):
        return release() or serve(port)


def release() -> int:
    """Run the Procfile's release step, as a deployment would."""
    with procfile("release") as process:
        return process.wait()


def serve(port: int) -> int:
    """Run web and worker until one of them ends."""
    with procfile("web", "worker") as app:
        welcome(app, port, os.environ.get("ADMIN_API_KEY", ""))
        return app.wait() or 1


@contextmanager
def procfile(*names: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run lines of the Procfile under honcho, and end them with all they started.

    honcho gets an empty file for `.env`, because it lets the file beat the environment.
    """
    before = set(psutil.Process().children())
    command = [sys.executable, "-m", "honcho", "--env", os.devnull, "start", *names]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        end(process)
        end_orphans(before)


def end(process: subprocess.Popen[bytes]) -> None:
    """End honcho, which ends its processes; it kills those that take over 5 seconds longer."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_SECONDS)


def end_orphans(spared: set[psutil.Process]) -> None:
    """Kill what a crash of honcho, gunicorn or Celery left running."""
    for child in set(psutil.Process().children()) - spared:
        with suppress(psutil.NoSuchProcess):
            for process in [child, *child.children(recursive=True)]:
                process.kill()


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent dies, so that they can be ended too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closing terminal unwind what was started; nohup stays respected."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, leave)


def leave(number: int, _frame: FrameType | None) -> None:
    """Leave once: a second Ctrl-C must not cut the clean-up short."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServiceError as error:
        sys.exit(str(error))
