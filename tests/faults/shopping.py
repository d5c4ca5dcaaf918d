"""A shop under random faults: buyers, one who puts stock in, and what to find of them.

What each buyer was told is kept here; `test_orders.py` holds it against what came of it.
"""

import random
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from itertools import count

import httpx

from tests.faults.clients import PRODUCTS, until_answered
from tests.faults.stack import ADMIN, Stack
from tests.processes import Web
from tests.receiving import Received

ORDERS = "/api/v1/orders"
# Some of the shop's variants run out, and are put in again; some are never counted.
PLENTY, SCARCE, UNTRACKED = 12, 4, 2
_CANCELED = 0.1  # of all orders


@dataclass
class Bought:
    """What buyers were told."""

    confirmed: dict[str, str] = field(default_factory=dict)  # ids by the order's note
    canceled: set[str] = field(default_factory=set)  # ids
    short: set[str] = field(default_factory=set)  # notes of orders that were refused
    cut_off: int = 0

    def note(self, answer: httpx.Response | None) -> None:
        """Count what was never answered."""
        self.cut_off += answer is None


def open_shop(web: Web, receiver_url: str) -> list[str]:
    """Have everything told to the receiver, and put products up for sale; their SKUs."""
    stocks = [*[100_000] * PLENTY, *[10] * SCARCE, *[None] * UNTRACKED]
    with httpx.Client(base_url=web.url, headers=ADMIN, timeout=30) as client:
        client.post("/api/v1/webhooks", json={"url": receiver_url}).raise_for_status()
        for number, stock in enumerate(stocks):
            product = {"name": f"product {number}", "sku": f"sku-{number}", "price": "2.50"}
            client.put(
                f"{PRODUCTS}/product-{number}", json={**product, "stock": stock}
            ).raise_for_status()
    return [f"sku-{number}" for number in range(len(stocks))]


class Buyer:
    """Places one order after the other, and cancels some."""

    def __init__(self, name: str, web: Web, skus: list[str], bought: Bought, seed: int) -> None:
        self._name = name
        self._skus = skus
        self._bought = bought
        self._chance = random.Random(f"{seed} {name}")
        self._client = httpx.Client(base_url=web.url, headers=ADMIN, timeout=30)

    def run(self, stopped: threading.Event) -> None:
        """Go on until told to stop; the order begun last is finished then too."""
        with self._client:
            for number in count():
                if stopped.is_set():
                    return
                self._buy(f"{self._name}-{number}")

    def _buy(self, note: str) -> None:
        skus = self._chance.sample(self._skus, self._chance.randint(1, 3))
        lines = [{"sku": sku, "quantity": self._chance.randint(1, 3)} for sku in skus]
        order = {"email": f"{note}@buyer.example", "lines": lines, "note": note}
        answer = self._ask(ORDERS, json=order, headers={"Idempotency-Key": note})
        if answer.status_code == 409:
            assert answer.json()["code"] == "insufficient_stock", answer.text
            self._bought.short.add(note)
            return
        assert answer.status_code == 201, answer.text
        order_id = answer.json()["id"]
        self._bought.confirmed[note] = order_id
        if self._chance.random() < _CANCELED:
            self._cancel(order_id)

    def _cancel(self, order_id: str) -> None:
        answer = self._ask(f"{ORDERS}/{order_id}/cancel")
        # The second: the answer to an earlier try was cut off.
        assert answer.status_code == 200 or answer.json()["code"] == "order_canceled", answer.text
        self._bought.canceled.add(order_id)

    def _ask(self, path: str, **sent: object) -> httpx.Response:
        post = partial(self._client.post, path, **sent)  # type: ignore[arg-type]
        return until_answered(post, self._bought.note)


def put_in(web: Web, skus: list[str], stopped: threading.Event) -> None:
    """Put some stock in again and again, until told to stop."""
    with httpx.Client(base_url=web.url, headers=ADMIN, timeout=30) as client:
        for number in count():
            if stopped.wait(1):
                return
            adjustments = [{"sku": sku, "delta": 5, "reason": "received"} for sku in skus]
            answer = until_answered(
                partial(
                    client.post,
                    "/api/v1/stock/adjustments",
                    json={"adjustments": adjustments},
                    headers={"Idempotency-Key": f"put-in-{number}"},
                ),
                lambda _: None,
            )
            assert answer.status_code == 200, answer.text


OVERSOLD = "SELECT variant_id, stock_after FROM stock_movements WHERE stock_after < 0"
# What an order has moved is what its lines say: all of it, or nothing once it is canceled.
WRONG_ORDERS = """
SELECT o.public_id, o.status, l.sku, l.quantity, sum(m.delta)
FROM orders o
JOIN order_lines l ON l.order_id = o.id
JOIN variants v ON v.id = l.variant_id AND v.stock IS NOT NULL
LEFT JOIN stock_movements m ON m.reference = o.public_id AND m.variant_id = v.id
GROUP BY o.id, l.order_id, l.position
HAVING coalesce(sum(m.delta), 0) <> CASE o.status WHEN 'confirmed' THEN -l.quantity ELSE 0 END
"""
MAILS = """
SELECT o.public_id, count(m.id) AS mails, count(j.id) AS jobs, min(m.status) AS status
FROM orders o LEFT JOIN mails m ON m.reference = o.public_id LEFT JOIN jobs j ON j.id = m.job_id
GROUP BY o.id
"""
UNFINISHED = """
SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL)
    + (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending')
    + (SELECT count(*) FROM events WHERE position IS NULL)
    + (SELECT count(*) FROM webhooks w, event_feed f WHERE w.cursor < f.last) AS count
"""


def is_quiet(stack: Stack) -> bool:
    """Whether everything that was to be done has been."""
    return bool(stack.rows(UNFINISHED)[0].count == 0)


def orders_of(mails: list[EmailMessage]) -> Counter[str]:
    """How many mails there are of each order: its id stands in the Message-ID."""
    ids = (re.match(r"<order\.([0-9a-f]+)\.", str(mail["Message-ID"])) for mail in mails)
    return Counter(found[1] if found else "of no order" for found in ids)


def bodies(received: list[Received]) -> Mapping[str, set[str]]:
    """Every body that came with each id."""
    found: dict[str, set[str]] = {}
    for each in received:
        found.setdefault(each.id, set()).add(each.body)
    return found
