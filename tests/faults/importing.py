"""An import over real HTTP, watched while things go wrong, and counted at its end."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.faults.extent import FULL
from tests.faults.stack import ADMIN, PATIENCE_SECONDS, Stack
from tests.processes import Web, wait_for

PRODUCTS = 8_000 if FULL else 4_000
REFUSED_EACH = 1000  # of so many products, one has a second row that is wrong


def catalogue(prefix: str, products: int) -> str:
    """A CSV of two rows for each product."""
    refused = range(100, products, REFUSED_EACH)
    heading = "handle,name,option1_name,option1_value,price\n"
    return heading + "".join(
        f"{prefix}{n},Product {n},Size,S,1.50\n"
        f"{prefix}{n},,,L,{'free' if n in refused else '2.50'}\n"
        for n in range(products)
    )


class Import:
    """A file that has been acknowledged with 202, and its job."""

    def __init__(self, web: Web, prefix: str = "p", products: int = PRODUCTS) -> None:
        self.prefix = prefix
        self.products = products
        response = httpx.post(
            f"{web.url}/api/v1/imports",
            content=catalogue(prefix, products).encode(),
            headers={"Content-Type": "text/csv", **ADMIN},
            timeout=30,
        )
        assert response.status_code == 202, response.text
        self.id: int = response.json()["id"]
        self.seconds_to_answer = response.elapsed.total_seconds()
        self.url = f"{web.url}/api/v1/jobs/{self.id}"

    @property
    def refused(self) -> int:
        """How many of its rows are wrong."""
        return len(range(100, self.products, REFUSED_EACH))

    def state(self) -> dict[str, Any]:
        """What the API says of the job; nothing while it does not answer."""
        try:
            answer = httpx.get(self.url, headers=ADMIN, timeout=30)
        except httpx.TransportError:
            return {}
        assert answer.status_code in (200, 503), answer.text
        job: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return job

    def when(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The job, as soon as this holds for it."""

        def probe() -> dict[str, Any] | None:
            job = self.state()
            return job if job and holds(job) else None

        return wait_for(f"job {self.id} {what}", probe, PATIENCE_SECONDS)

    def in_the_middle(self, beyond: int = 0, attempt: int = 1) -> int:
        """Rows processed, once this attempt or a later one has more of them than `beyond`."""

        def gets_on(job: dict[str, Any]) -> bool:
            processed = int(job["progress"].get("processed", 0))
            return int(job["attempts"]) >= attempt and processed > beyond

        job = self.when(gets_on, "gets on")
        return int(job["progress"]["processed"])

    def assert_unfinished(self, stack: Stack) -> None:
        """Hold that the harm came before the end, else the test proves nothing."""
        assert stack.job(self.id).finished_at is None, "the file is too small to be harmed midway"

    def ended(self) -> dict[str, Any]:
        """The job at its end."""
        return self.when(lambda job: bool(job["ready"]), "ends")

    def assert_exactly_once(self, stack: Stack) -> None:
        """Hold that each row took effect once: in the tables, the progress and the report."""
        job = stack.job(self.id)
        assert job.status == "succeeded", job
        counts = {name: job.progress[name] for name in EXPECTED}
        rows = 2 * self.products
        expected = {"total": rows, "processed": rows, "created": self.products}
        assert counts == {**EXPECTED, **expected, "failed": self.refused}
        there = stack.rows(FOUND, f"{self.prefix}%")[0]
        assert (there.products, there.version) == (self.products, 1)
        assert there.variants == rows - self.refused
        errors = stack.rows("SELECT count(*) FROM job_errors WHERE job_id = %s", self.id)[0]
        assert errors.count == self.refused


FOUND = """
SELECT count(DISTINCT products.id) AS products, max(version) AS version, count(*) AS variants
FROM products JOIN variants ON product_id = products.id WHERE handle LIKE %s
"""
EXPECTED = dict.fromkeys(("total", "processed", "created", "updated", "unchanged", "failed"), 0)
