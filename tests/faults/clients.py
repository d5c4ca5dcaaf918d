"""Clients of the API that go on whatever happens, and remember what they were told."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import httpx

from tests.faults.stack import ADMIN, PATIENCE_SECONDS, Stack
from tests.processes import Web

PRODUCTS = "/api/v1/products"


@dataclass
class Told:
    """What one client has been told so far."""

    created: dict[str, int] = field(default_factory=dict)  # product ids by name, from a 201
    answers: list[httpx.Response] = field(default_factory=list)
    cut_off: int = 0  # requests that were never answered

    @property
    def statuses(self) -> set[int]:
        """Every status seen."""
        return {answer.status_code for answer in self.answers}

    def assert_kept(self, stack: Stack, prefix: str) -> None:
        """Hold that each product acknowledged is there, and each one once."""
        rows = stack.rows("SELECT id, name FROM products WHERE name LIKE %s", f"{prefix}%")
        assert {row.name: row.id for row in rows} == self.created
        assert len(rows) == len(self.created)


class Creator:
    """Creates one product after the other and reads it back; repeats what was not answered."""

    def __init__(self, web: Web, prefix: str, told: Told) -> None:
        self._told = told
        self._prefix = prefix
        self._client = httpx.Client(base_url=web.url, headers=ADMIN, timeout=30)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Go on until told to stop; the product begun last is finished then too."""
        with self._client:
            for number in count():
                if stopped():
                    return
                self._create(f"{self._prefix}{number}")
                time.sleep(0.005)

    def _create(self, name: str) -> None:
        key = {"Idempotency-Key": name}
        made = self._ask(lambda: self._client.post(PRODUCTS, json={"name": name}, headers=key))
        assert made.status_code == 201, made.text
        product = made.json()
        self._told.created[name] = product["id"]
        read = self._ask(lambda: self._client.get(f"{PRODUCTS}/{product['id']}"))
        assert read.status_code == 200, read.text
        assert read.json()["name"] == name

    def _ask(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        return until_answered(send, self._note)

    def _note(self, answer: httpx.Response | None) -> None:
        if answer is None:
            self._told.cut_off += 1
        else:
            self._told.answers.append(answer)


def until_answered(
    send: Callable[[], httpx.Response], note: Callable[[httpx.Response | None], None]
) -> httpx.Response:
    """The answer that stays, after as many tries as it takes.

    Each answer is given to `note` first; None, where a request was cut off.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = None
        with suppress(httpx.TransportError):
            answer = send()
        note(answer)
        if answer is not None and not _puts_off(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not answered within {PATIENCE_SECONDS} seconds")


def _puts_off(answer: httpx.Response) -> bool:
    """Whether the request is being done, or cannot be for now: then it says when to come again."""
    assert answer.status_code != 503 or "Retry-After" in answer.headers, answer.text
    return answer.status_code in (409, 503) and "Retry-After" in answer.headers


@contextmanager
def at_work(stopped: threading.Event, works: Iterable[Callable[[], None]]) -> Iterator[None]:
    """Let each do its work for a block, tell them to stop, and wait until they have.

    What went wrong in one of them is raised at the end.
    """
    faults: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # it is raised in the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]


@contextmanager
def creating(web: Web, prefix: str = "soap", clients: int = 2) -> Iterator[list[Told]]:
    """Let clients create products for a block."""
    stopped = threading.Event()
    told = [Told() for _ in range(clients)]
    creators = [Creator(web, f"{prefix}{n}-", each) for n, each in enumerate(told)]
    with at_work(stopped, [partial(each.run, stopped.is_set) for each in creators]):
        yield told


def assert_kept(stack: Stack, told: list[Told], prefix: str = "soap") -> None:
    """Hold for all clients that what they were told is so."""
    assert all(each.created for each in told)
    for number, each in enumerate(told):
        each.assert_kept(stack, f"{prefix}{number}-")
