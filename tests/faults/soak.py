"""A soak: clients work while chance harms every process; all of it is written to a log.

The log's form and what must hold of it: `tests/faults/checker.py`.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.faults.checker import ROWS_EACH
from tests.faults.clients import PRODUCTS, at_work, until_answered
from tests.faults.harm import Faults, harm
from tests.faults.stack import ADMIN, PATIENCE_SECONDS, Stack
from tests.processes import Web, wait_for

WRITERS = 3
IMPORTERS = 2
IMPORTED_PRODUCTS = 2500
WORKERS = 2


class Log:
    """NDJSON, a line for each record, written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def write(self, record: str, **fields: Any) -> None:
        """Append a record with its time, in seconds since the beginning."""
        line = json.dumps(
            {"time": round(time.monotonic() - self._began, 3), "record": record, **fields}
        )
        with self._lock, self.path.open("a") as file:
            file.write(line + "\n")


class Client:
    """One client, which asks again until it is told how it stands."""

    def __init__(self, name: str, web: Web, log: Log, stopped: threading.Event) -> None:
        self.name = name
        self._log = log
        self._stopped = stopped
        self.http = httpx.Client(base_url=web.url, headers=ADMIN, timeout=30)

    def write_products(self) -> None:
        """Create products, change each a few times, and read it before each change."""
        for number in count():
            name = f"{self.name}-{number}"
            product = self._post(name) if number % 2 else self._put(name)
            for change in range(1, 4):
                if self._stopped.is_set():
                    return
                self._ask("read", name, None, partial(self.http.get, product))
                self._change(name, product, change)

    def _post(self, name: str) -> str:
        """Create a product without a handle: done twice, it would be two; its address."""
        fields = {"name": name, "description": f"{name}.0"}
        post = partial(self.http.post, PRODUCTS, json=fields, headers={"Idempotency-Key": name})
        return f"{PRODUCTS}/{self._ask('create', name, f'{name}.0', post)['id']}"

    def _put(self, name: str) -> str:
        """Create a product at its address, which is returned."""
        at = f"{PRODUCTS}/{name}"
        fields = {"name": name, "description": f"{name}.0"}
        self._ask("put", name, f"{name}.0", partial(self.http.put, at, json=fields))
        return at

    def _change(self, name: str, at: str, change: int) -> None:
        effect = f"{name}.{change}"
        if change % 2:
            fields = {"description": effect}
            self._ask("patch", name, effect, lambda: self.http.patch(at, json=fields))
        else:
            fields = {"name": name, "description": effect}
            self._ask("put", name, effect, lambda: self.http.put(at, json=fields))

    def import_files(self) -> None:
        """Send one file after the other, each of new products."""
        for number in count():
            name = f"{self.name}-{number}"
            headers = {"Content-Type": "text/csv", "Idempotency-Key": name}
            body = catalogue(name).encode()
            post = partial(self.http.post, "/api/v1/imports", content=body, headers=headers)
            job = self._ask("import", name, name, post)
            while not self._is_done(job["id"]):
                if self._stopped.wait(0.2):
                    return
            if self._stopped.wait(1):
                return

    def _is_done(self, job_id: int) -> bool:
        with suppress(httpx.TransportError):
            answer = self.http.get(f"/api/v1/jobs/{job_id}")
            return answer.status_code == 200 and bool(answer.json()["ready"])
        return False

    def _ask(
        self, operation: str, subject: str, effect: str | None, send: Callable[[], httpx.Response]
    ) -> dict[str, Any]:
        """The answer that stays; all tries are logged."""

        def note(answer: httpx.Response | None) -> None:
            told = answer.json() if answer is not None else {}
            self._log.write(
                "try",
                client=self.name,
                operation=operation,
                subject=subject,
                effect=effect,
                status=answer.status_code if answer is not None else None,
                id=told.get("id"),
                version=told.get("version"),
            )

        return dict(until_answered(send, note).json())


def catalogue(name: str) -> str:
    """A file of products with two variants each, all of the name of the file."""
    return "handle,name,option1_name,option1_value,price\n" + "".join(
        f"{name}-{n},{name},Size,S,1.50\n{name}-{n},,,L,2.50\n" for n in range(IMPORTED_PRODUCTS)
    )


def run(stack: Stack, log: Log, chance: random.Random, seconds: float) -> None:
    """Soak for so long, wait until all is quiet, and write down what then stands."""
    with ExitStack() as running:
        web = running.enter_context(stack.web(WEB_CONCURRENCY="2"))
        workers = [running.enter_context(stack.worker()) for _ in range(WORKERS)]
        deadline = time.monotonic() + seconds
        with _clients(web, log):
            harm(
                Faults(stack, web, workers, chance),
                chance,
                enough=lambda: time.monotonic() > deadline,
                tell=lambda fault: log.write("fault", fault=fault),
            )
        wait_for("every job ends", lambda: _no_job_waits(stack), PATIENCE_SECONDS)
        _write_down(stack, log)


@contextmanager
def _clients(web: Web, log: Log) -> Iterator[None]:
    """Let all clients work for a block, and finish what they have begun."""
    stopped = threading.Event()
    with ExitStack() as opened:

        def named(name: str) -> Client:
            client = Client(name, web, log, stopped)
            opened.enter_context(client.http)
            return client

        writers = [named(f"writer{n}").write_products for n in range(WRITERS)]
        importers = [named(f"importer{n}").import_files for n in range(IMPORTERS)]
        with at_work(stopped, [*writers, *importers]):
            yield


def _no_job_waits(stack: Stack) -> bool:
    return not stack.rows("SELECT id FROM jobs WHERE finished_at IS NULL LIMIT 1")


FOUND_PRODUCTS = """
SELECT id, name, version, description,
    (SELECT count(*) FROM variants WHERE product_id = products.id) AS variants
FROM products
"""
# A file says which one it is: each of its products bears its name, the second cell of a row.
FOUND_JOBS = """
SELECT id, status, progress, error, split_part(convert_from(content, 'UTF8'), chr(10), 2) AS row
FROM jobs JOIN file_chunks USING (file_id) WHERE number = 0
"""


def _write_down(stack: Stack, log: Log) -> None:
    for row in stack.rows(FOUND_PRODUCTS):
        shown = {"effect": row.description, "variants": row.variants}
        log.write("product", subject=row.name, id=row.id, version=row.version, **shown)
    for row in stack.rows(FOUND_JOBS):
        shown = {"progress": row.progress, "error": row.error}
        shown["rows"] = ROWS_EACH * IMPORTED_PRODUCTS
        log.write("job", subject=row.row.split(",")[1], id=row.id, status=row.status, **shown)
