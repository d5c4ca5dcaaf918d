"""Fifty buyers, ten pieces: ten orders, whoever is killed meanwhile. With real web processes."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.ordering import ORDERS, for_sale, stock_of, wrong_sums
from tests.processes import Web, wait_for
from tests.stage import ADMIN

BUYERS, PIECES = 50, 10
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@dataclass
class Buyer:
    """Wants one of the last pieces, and in every other case writes the lines the other way."""

    number: int
    tries: int = 0
    statuses: list[int] = field(default_factory=list)
    answer: httpx.Response | None = None

    def buy(self, client: httpx.Client, *, again: bool) -> "Buyer":
        """Send the order; `again` with the same key until the answer tells what became of it."""
        lines = [{"sku": sku, "quantity": 1} for sku in ("FIRST", "LAST", "THIRD")]
        sent = {"email": "ada@example.com", "lines": lines[:: -1 if self.number % 2 else 1]}
        headers = {"Idempotency-Key": f"buyer {self.number}, {again}"}
        done = threading.Event()
        while not done.wait(0.1 if self.tries else 0):
            self.tries += 1
            assert self.tries < 300
            try:
                self.answer = client.post(ORDERS, json=sent, headers=headers)
            except httpx.TransportError:
                assert again
                continue
            self.statuses.append(self.answer.status_code)
            if not again or self.code in ("placed", "insufficient_stock"):
                done.set()
        return self

    @property
    def code(self) -> str:
        """What has become of the order."""
        assert self.answer is not None
        return str(self.answer.json().get("code", "placed"))


@pytest.fixture(scope="module")
def two(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A gunicorn of two processes."""
    with Web(tmp_path_factory.mktemp("two"), WEB_CONCURRENCY="2") as running:
        yield running


@pytest.fixture
def client(two: Web) -> Iterator[httpx.Client]:
    """A client with a connection for each buyer."""
    limits = httpx.Limits(max_connections=BUYERS)
    with httpx.Client(base_url=two.url, headers=ADMIN, timeout=30, limits=limits) as client:
        yield client


@pytest.fixture
def shop(admin: FlaskClient) -> FlaskClient:
    """A shop with the last pieces of one of three products, locked in the order of their ids."""
    for sku, stock in (("THIRD", 1000), ("LAST", PIECES), ("FIRST", 1000)):
        for_sale(admin, sku=sku, stock=stock)
    return admin


def assert_sold(buyers: list[Buyer], shop: FlaskClient, session: Session) -> None:
    """Ten have an order, each one of his own, the others were told what is left, and it adds up."""
    assert Counter(b.code for b in buyers) == {"placed": PIECES, "insufficient_stock": 40}
    placed = {b.answer.json()["id"] for b in buyers if b.answer and b.code == "placed"}
    stored = set(session.scalars(text("SELECT public_id FROM orders")))
    assert stored == placed
    assert len(stored) == PIECES
    assert [stock_of(shop, sku) for sku in ("FIRST", "LAST", "THIRD")] == [990, 0, 990]
    assert wrong_sums(session) == []
    for buyer in buyers:
        if buyer.answer and buyer.code != "placed":
            (fault,) = buyer.answer.json()["errors"]
            assert (fault["pointer"], fault["available"]) == ("/lines/1", 0)


def test_ten_of_fifty_buyers_get_the_last_ten_pieces(
    client: httpx.Client, shop: FlaskClient, session: Session
) -> None:
    before = session.scalar(text(DEADLOCKS))
    session.rollback()
    together = threading.Barrier(BUYERS)

    def buy(number: int) -> Buyer:
        together.wait(10)
        return Buyer(number).buy(client, again=False)

    with ThreadPoolExecutor(BUYERS) as many:
        buyers = list(many.map(buy, range(BUYERS)))

    assert_sold(buyers, shop, session)
    assert session.scalar(text(DEADLOCKS)) == before


def test_who_was_cut_off_by_a_kill_buys_once_by_asking_again(
    two: Web, client: httpx.Client, shop: FlaskClient, session: Session
) -> None:
    session.execute(text("SELECT id FROM products FOR UPDATE"))  # so that requests are in flight
    with ThreadPoolExecutor(BUYERS) as many:
        asked = [many.submit(Buyer(n).buy, client, again=True) for n in range(BUYERS)]
        wait_for("both processes have requests", lambda: session.scalar(text(WAITING)) >= 4, 2.5)
        first, second = two.processes()[1:]
        first.kill()
        session.rollback()
        next(as_completed(asked))
        second.kill()
        buyers = [buyer.result() for buyer in asked]

    assert any(buyer.tries > len(buyer.statuses) for buyer in buyers), "nobody was cut off"
    assert_sold(buyers, shop, session)
    assert all(status < 500 for buyer in buyers for status in buyer.statuses)
