"""201 and 202 mean committed, whichever web process is killed; SIGTERM lets requests finish."""

import random
import signal
import threading
import time

import httpx
import psutil
import pytest

from tests.faults.clients import PRODUCTS, assert_kept, creating
from tests.faults.extent import KILLS, only_in_full
from tests.faults.importing import Import
from tests.faults.stack import ADMIN, EXIT_SECONDS, Stack, gone_by
from tests.processes import Web, wait_for


def kill_a_child(web: Web, chance: random.Random) -> None:
    """One that serves somebody: where the other has all clients, nothing would be cut off."""
    serving = [each for each in web.processes()[1:] if is_connected(each)]
    chance.choice(serving).kill()


def is_connected(process: psutil.Process) -> bool:
    """Whether it has a client; whoever keeps a connection open uses it again."""
    connections = process.net_connections("tcp")
    served = {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
    return any(
        each.laddr.port in served and each.status == psutil.CONN_ESTABLISHED for each in connections
    )


def kill_all_and_start(web: Web, chance: random.Random) -> None:
    web.kill()
    web.start()


@pytest.mark.parametrize(
    "harm", [pytest.param(kill_a_child, marks=only_in_full), kill_all_and_start]
)
def test_what_was_acknowledged_is_there_whichever_web_process_is_killed(
    stack: Stack, chance: random.Random, harm: object
) -> None:
    assert callable(harm)
    accepted = []
    with stack.web(WEB_CONCURRENCY="2") as web, creating(web) as told:
        for number in range(KILLS):
            accepted.append(Import(web, prefix=f"file{number}-", products=1))
            time.sleep(chance.uniform(0.3, 0.6))
            harm(web, chance)
            wait_for("it serves", web.is_ready)

    assert_kept(stack, told)
    assert any(each.cut_off for each in told), "no request was in flight: the test proves nothing"
    assert {stack.job(job.id).status for job in accepted} == {"queued"}


def test_sigterm_to_all_web_processes_twice_lets_requests_finish_and_ends_them_in_time(
    stack: Stack,
) -> None:
    answers: list[httpx.Response] = []

    def create(url: str, number: int) -> None:
        product = {"name": f"late {number}"}
        answers.append(httpx.post(url + PRODUCTS, json=product, headers=ADMIN, timeout=30))

    with stack.web(WEB_CONCURRENCY="2") as web:
        with stack.holding("LOCK products IN SHARE MODE"):
            clients = [threading.Thread(target=create, args=(web.url, n)) for n in range(3)]
            for client in clients:
                client.start()
            wait_for("requests are in flight", lambda: stack.waiting_for_locks() >= 3)
            processes = web.processes()
            at = time.monotonic()
            web.signal_all(signal.SIGTERM)
            time.sleep(0.3)
            web.signal_all(signal.SIGTERM)
            time.sleep(0.5)
        for client in clients:
            client.join()

        assert gone_by(at + EXIT_SECONDS, processes)
    assert [answer.status_code for answer in answers] == [201] * 3
    assert stack.rows("SELECT count(*) FROM products")[0].count == 3
