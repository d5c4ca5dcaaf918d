"""Orders under random faults: none lost, none done twice, each confirmed, all of it told."""

import random
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

import events
from tests.faults import shopping
from tests.faults.clients import at_work
from tests.faults.extent import ORDERS, SEED, only_in_full
from tests.faults.harm import Faults, harm
from tests.faults.stack import Stack
from tests.mail_server import mail_server
from tests.ordering import WRONG_SUMS
from tests.processes import wait_for
from tests.receiving import receiver, status

BUYERS = 6
# What falters once is asked again after 5 s, by another: mails after 30.
QUIET_SECONDS = 900.0


@only_in_full
@pytest.mark.timeout(2400)
def test_orders_under_random_faults_are_kept_confirmed_and_told(
    stack: Stack, chance: random.Random, tmp_path: Path
) -> None:
    bought = shopping.Bought()
    done: list[str] = []
    with ExitStack() as running:
        mails = running.enter_context(mail_server(tmp_path / "mails", "falters"))
        told = running.enter_context(receiver())
        shop = {"MAIL_URL": mails.url, "WEBHOOKS_ALLOW_PRIVATE": "1"}
        web = running.enter_context(stack.web(WEB_CONCURRENCY="2", **shop))
        workers = [running.enter_context(stack.worker(**shop)) for _ in range(2)]
        skus = shopping.open_shop(web, told.url)
        told.answers += [status(204)] * 500 + [status(500)]  # it falters too
        stopped = threading.Event()
        buyers = [shopping.Buyer(f"b{n}", web, skus, bought, SEED) for n in range(BUYERS)]
        works = [partial(buyer.run, stopped) for buyer in buyers]
        scarce = skus[shopping.PLENTY : shopping.PLENTY + shopping.SCARCE]
        with at_work(stopped, [*works, partial(shopping.put_in, web, scarce, stopped)]):
            faults = Faults(stack, web, workers, chance)
            kinds = {kind.__name__ for kind in faults.kinds()}
            harm(
                faults,
                chance,
                enough=lambda: len(bought.confirmed) >= ORDERS and kinds <= {*done},
                tell=done.append,
            )
        wait_for("all is done", lambda: shopping.is_quiet(stack), QUIET_SECONDS)

    print(f"{len(bought.confirmed)} orders, {len(done)} faults, {bought.cut_off} cut off")
    assert bought.cut_off
    assert bought.short

    stored = stack.rows("SELECT public_id, note, status FROM orders")
    assert {row.note: row.public_id for row in stored} == bought.confirmed
    assert len(stored) == len(bought.confirmed)
    assert {row.public_id for row in stored if row.status == "canceled"} == bought.canceled
    assert stack.rows(WRONG_SUMS) == []
    assert stack.rows(shopping.OVERSOLD) == []
    assert stack.rows(shopping.WRONG_ORDERS) == []

    confirmations = stack.rows(shopping.MAILS)
    assert {(row.mails, row.jobs, row.status) for row in confirmations} == {(1, 1, "sent")}
    sent = shopping.orders_of(mails.mails())
    assert {*sent} == {*bought.confirmed.values()}
    # A worker that was killed between the server's answer and its own note of it asks again.
    assert sent.total() - len(sent) <= len(done)

    bodies = shopping.bodies(told.received)
    fed = stack.rows("SELECT id FROM events")
    assert {*bodies} == {events.public_id(row.id) for row in fed}
    assert {len(each) for each in bodies.values()} == {1}
