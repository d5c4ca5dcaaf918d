"""Clients of the shop: they read, write and import whatever is done to it, and count each answer.

What they have been told is written to a log of the form that `tests/faults/checker.py` reads.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from dev.drill.addons import Addons
from tests.faults.checker import ROWS_EACH, findings, read_log
from tests.faults.clients import PRODUCTS, at_work
from tests.faults.soak import FOUND_JOBS, FOUND_PRODUCTS, IMPORTED_PRODUCTS, Client, Log

_SCOPES = ["products:read", "products:write", "jobs:read", "jobs:write"]


@dataclass(frozen=True)
class Asked:
    """A request: when (time.monotonic), and what came of it."""

    what: str
    began: float
    ended: float
    status: int | None  # None: the connection was cut
    retry_after: bool


class _Counting(httpx.HTTPTransport):
    """Waits a little, that no key comes to its limit, and remembers what came of each request."""

    def __init__(self, asked: list[Asked], pause_seconds: float) -> None:
        super().__init__()
        self._asked = asked
        self._pause_seconds = pause_seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        time.sleep(self._pause_seconds)
        began, status, retry_after = time.monotonic(), None, False
        try:
            answer = super().handle_request(request)
            answer.read()
            status, retry_after = answer.status_code, "Retry-After" in answer.headers
        finally:
            what = f"{request.method} {request.url.path}"
            self._asked.append(Asked(what, began, time.monotonic(), status, retry_after))
        return answer


class Shopper(Client):
    """A client that writes or imports, with an HTTP client that counts."""

    def __init__(self, name: str, http: httpx.Client, log: Log, stopped: threading.Event) -> None:
        self.name, self.http, self._log, self._stopped = name, http, log, stopped


class Load:
    """All clients of a site, each with a key of its own."""

    def __init__(self, url: str, folder: Path, pause_seconds: float) -> None:
        self.asked: list[Asked] = []
        self.faults: list[str] = []  # of clients that could not go on
        self._url = url
        self._pause_seconds = pause_seconds
        self._log = Log(folder / "requests.ndjson")
        self._stopped = threading.Event()

    def client(self, key: str) -> httpx.Client:
        """An HTTP client of the site, whose requests count."""
        headers = {"Authorization": f"Bearer {key}"}
        transport = _Counting(self.asked, self._pause_seconds)
        return httpx.Client(base_url=self._url, headers=headers, transport=transport, timeout=90)

    def new_key(self, admin_key: str, name: str) -> str:
        """A key that the API has made."""
        body = {"name": name, "scopes": _SCOPES}
        with self.client(admin_key) as admin:
            return str(admin.post("/api/v1/keys", json=body).raise_for_status().json()["key"])

    @contextmanager
    def running(self, admin_key: str, readers: int, writers: int, importers: int) -> Iterator[None]:
        """Let clients work for a block, and finish what they have begun."""
        keys = [self.new_key(admin_key, f"reader{number}") for number in range(readers)]
        works = [self._reading(key) for key in keys]
        try:
            with ExitStack() as opened:

                def shopper(name: str) -> Shopper:
                    http = opened.enter_context(self.client(self.new_key(admin_key, name)))
                    return Shopper(name, http, self._log, self._stopped)

                works += [shopper(f"writer{n}").write_products for n in range(writers)]
                works += [shopper(f"importer{n}").import_files for n in range(importers)]
                with at_work(self._stopped, works):
                    yield
        except (AssertionError, KeyError, ValueError) as error:
            self.faults.append(f"Given up: {error!r}")

    def _reading(self, key: str) -> Callable[[], None]:
        def read() -> None:
            with self.client(key) as client:
                for number in count():
                    if self._stopped.is_set():
                        return
                    query = ("", "?q=writer&limit=5", "?sort=-updated_at&include=count")[number % 3]
                    try:
                        client.get(PRODUCTS + query)
                    except httpx.TransportError:
                        continue  # it is counted

        return read

    def lost(self, addons: Addons) -> list[str]:
        """What was acknowledged and is not there, or is there twice; call when all is quiet."""
        for row in addons.rows(FOUND_PRODUCTS):
            if row.name.startswith(("writer", "importer")):
                shown = {"effect": row.description, "variants": row.variants}
                self._log.write(
                    "product", subject=row.name, id=row.id, version=row.version, **shown
                )
        for row in addons.rows(FOUND_JOBS):
            subject = row.row.split(",")[1]
            if subject.startswith("importer"):
                rows = ROWS_EACH * IMPORTED_PRODUCTS
                shown = {"progress": row.progress, "error": row.error, "rows": rows}
                self._log.write("job", subject=subject, id=row.id, status=row.status, **shown)
        return findings(read_log(self._log.path))
