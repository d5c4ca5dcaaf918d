"""The servers that are held against each other, each as a process that is started and stopped.

All have two worker processes. Ours is started as the Procfile does it, with its log in a file;
the peers have no access log, no key to check and no limit to count, to their advantage.
"""

import runpy
from pathlib import Path
from typing import ClassVar

import httpx

from bench import peers_venv
from dev.services import free_port
from tests.processes import ROOT, Process, Web

PEERS = str(ROOT / "bench" / "peers")
GUNICORN = (
    *(str(peers_venv.PROGRAMS / "gunicorn"), "--config", f"{PEERS}/gunicorn_settings.py"),
    *("--pythonpath", PEERS),
)
UVICORN = (
    *(str(peers_venv.PROGRAMS / "uvicorn"), "--app-dir", PEERS, "--workers", "2"),
    *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
)


class Ours(Web):
    """Pushcart itself, with rate limits that count and never refuse."""

    name: ClassVar[str] = "Pushcart"
    products: ClassVar[str] = "/api/v1/products"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, WEB_CONCURRENCY="2", RATE_LIMIT="1000000000")


class Peer(Process):
    """An application of bench/peers, on its own server."""

    name: ClassVar[str]
    products: ClassVar[str] = "/products"

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        port = str(free_port())
        super().__init__(folder, *options, PORT=port, UVICORN_PORT=port, **environment)
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Whether it serves. Raises RuntimeError with its last words if it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"{self.name} does not start:\n{self.output()}")
        try:
            return httpx.get(f"{self.url}{self.products}").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


class FlaskORM(Peer):
    """The usual Flask API."""

    name = "Flask, ORM, marshmallow"
    command = (*GUNICORN, "flask_orm:app")


class FastAPIAsync(Peer):
    """FastAPI on uvicorn."""

    name = "FastAPI, async ORM"
    command = (*UVICORN, "fastapi_async:app")


class DjangoREST(Peer):
    """Django REST framework."""

    name = "Django REST framework"
    command = (*GUNICORN, "django_rest:application")


class Limit(Peer):
    """An app that does nothing, on our gunicorn with our settings."""

    products = "/"

    def __init__(self, folder: Path) -> None:
        config = folder / "gunicorn.conf.py"
        config.write_text(_our_settings())
        super().__init__(folder, "--config", str(config), WEB_CONCURRENCY="2")


class HelloWorld(Limit):
    """What Flask cannot go below."""

    name = "Flask's hello world"
    command = ("gunicorn", "bench.limits:hello")


class BareWSGI(Limit):
    """What gunicorn cannot go below."""

    name = "bare WSGI function"
    command = ("gunicorn", "bench.limits:bare")


Contender = Ours | Peer
LIMITS = (HelloWorld, BareWSGI)
EVERYONE: tuple[type[Contender], ...] = (Ours, FlaskORM, FastAPIAsync, DjangoREST, *LIMITS)


def _our_settings() -> str:
    """The plain values of our gunicorn.conf.py, which itself would load our app as well."""
    ours = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    lines = [
        f"{name} = {value!r}"
        for name, value in ours.items()
        if isinstance(value, str | int | float) and not name.startswith("_") and name != "bind"
    ]
    return "\n".join([*lines, "import os\nbind = '127.0.0.1:' + os.environ['PORT']\n"])
