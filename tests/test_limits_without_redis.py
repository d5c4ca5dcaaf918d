"""Redis away: requests pass, about as fast, and the log says so once."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask import Flask

from api import counters
from api.counters import Counters
from dev.services import ONCE, Redis, free_port
from tests.processes import ROOT, Web, wait_for
from tests.stage import ADMIN
from tests.test_limits import LIMIT, URL, told


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that a test may stop."""
    with Redis(tmp_path / "redis", free_port(), durable=False) as server:
        yield server
        assert server.process is not None
        server.process.send_signal(signal.SIGCONT)  # else it cannot hear that it should end


def stop(server: Redis) -> None:
    """Redis hangs: the system still takes connections for it, and nobody answers."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)


def kill(server: Redis) -> None:
    """Redis is gone, and connections are refused."""
    assert server.process is not None
    server.process.kill()
    server.process.wait()


@pytest.mark.parametrize("harm", [stop, kill])
def test_without_redis_requests_pass_about_as_fast_with_one_warning(
    app: Flask, own_redis: Redis, tmp_path: Path, harm: Any
) -> None:
    options = {"RATE_LIMIT": str(LIMIT), "REDIS_URL": own_redis.url, "WEB_CONCURRENCY": "1"}
    with Web(tmp_path, **options) as web, httpx.Client(base_url=web.url) as client:
        with_redis = [client.get(URL, headers=ADMIN) for _ in range(LIMIT - 1)]
        harm(own_redis)
        without = [client.get(URL, headers=ADMIN) for _ in range(60)]
        log = web.output()

    assert told(with_redis[-1])[:2] == ("key", 1)
    assert {answer.status_code for answer in without} == {200}
    assert not any("RateLimit" in answer.headers for answer in without)
    seconds = [answer.elapsed.total_seconds() for answer in without]
    usual = statistics.median(answer.elapsed.total_seconds() for answer in with_redis)
    assert statistics.median(seconds) < usual + 0.03
    assert sorted(seconds)[-4] < usual + 0.1  # a few pay, the longer it lasts the fewer
    assert max(seconds) < usual + 0.3
    assert log.count("requests pass without a limit") == 1


def timed(shared: Counters) -> tuple[Any, float]:
    """What a counter says, and the seconds that this takes."""
    started = time.monotonic()
    return shared.count("pushcart:limit:test:1", 60, LIMIT), time.monotonic() - started


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a port that drops whatever comes: its queue of connections is full."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        time.sleep(0.05)
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        for each in waiting:
            each.close()


def test_an_unreachable_redis_costs_one_request_its_budget_and_others_nothing(
    black_hole: str,
) -> None:
    shared = Counters(black_hole)

    (first, first_took), *others = [timed(shared) for _ in range(20)]

    assert first is None
    assert counters.BUDGET_SECONDS <= first_took < counters.BUDGET_SECONDS + 0.1
    assert {said for said, _ in others} == {None}
    assert sum(took for _, took in others) < 0.02


def test_a_hanging_redis_holds_up_no_thread_beyond_the_budget(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)
    with ThreadPoolExecutor(8) as many:
        assert all(said for said, _ in many.map(timed, [shared] * 8))
        stop(own_redis)
        found = list(many.map(timed, [shared] * 8))

    assert {said for said, _ in found} == {None}
    assert max(took for _, took in found) < 2 * counters.BUDGET_SECONDS + 0.1


def test_redis_that_is_back_counts_again(
    own_redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(counters, "LONGEST_PAUSE_SECONDS", 0.2)
    shared = Counters(own_redis.url)
    timed(shared)
    kill(own_redis)
    for _ in range(3):  # finds out three times that it is away, and says so once
        assert timed(shared)[0] is None
        time.sleep(0.25)

    own_redis.start()
    said = wait_for("it counts", lambda: timed(shared)[0], 5)

    assert said[0] == 1
    assert caplog.text.count("requests pass without a limit") == 1


def test_only_one_request_at_a_time_finds_out_how_redis_is(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)
    stop(own_redis)
    timed(shared)
    time.sleep(counters.FIRST_PAUSE_SECONDS + 0.05)

    with ThreadPoolExecutor(4) as many:
        took = sorted(seconds for _, seconds in many.map(timed, [shared] * 4))

    assert took[-1] >= counters.BUDGET_SECONDS
    assert took[-2] < counters.BUDGET_SECONDS


def test_the_longer_redis_is_away_the_less_it_is_asked(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)
    stop(own_redis)

    began, paid = time.monotonic(), []
    while time.monotonic() < began + 2.5:
        if timed(shared)[1] >= counters.BUDGET_SECONDS:
            paid.append(time.monotonic() - began)
        time.sleep(0.005)

    assert 3 <= len(paid) <= 5  # at about 0, 0.3, 0.9 and 2 seconds
    pauses = [later - earlier for earlier, later in pairwise(paid)]
    assert pauses == sorted(pauses)


def test_a_connection_that_redis_has_closed_is_made_again_unnoticed(
    own_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    shared = Counters(own_redis.url)
    before = [timed(shared)[0] for _ in range(4)]

    with closing(redis.Redis(port=own_redis.port)) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    after = [timed(shared)[0] for _ in range(4)]

    assert [said[0] for said in (*before, *after)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "without a limit" not in caplog.text


def test_an_error_of_redis_is_no_error_of_ours(
    own_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(redis.Redis(port=own_redis.port, retry=ONCE)) as other:
        other.set("pushcart:limit:test:1", "no number")

    assert timed(Counters(own_redis.url))[0] is None
    assert "Error running script" in caplog.text


def test_a_count_that_lost_its_end_is_given_one(own_redis: Redis) -> None:
    with closing(redis.Redis(port=own_redis.port)) as other:
        other.set("pushcart:limit:test:1", 41)

        assert timed(Counters(own_redis.url))[0] == (42, 1, 60)
        assert 59_000 < other.pttl("pushcart:limit:test:1") <= 60_000


def test_a_share_is_a_hundredth_of_what_is_left_and_at_least_one(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)

    taken = [shared.count("pushcart:limit:test:1", 60, 400) for _ in range(220)]

    assert [said and said.share for said in taken[:3]] == [4, 3, 3]
    assert {said and said.share for said in taken[-20:]} == {1}
    assert taken[-1] is not None
    assert taken[-1].used == sum(said.share for said in taken if said)


def test_a_child_process_makes_connections_of_its_own(own_redis: Redis) -> None:
    program = """
import os
from api import counters
inherited = counters.shared
assert inherited.count("pushcart:limit:fork", 60, 1)[0] == 1
child = os.fork()
mine = [counters.shared.count("pushcart:limit:fork", 60, 1)[0] for _ in range(50)]
assert mine == sorted(mine) and len(set(mine)) == 50, mine
if not child:
    assert counters.shared is not inherited
    os._exit(0)
assert counters.shared is inherited
assert os.waitpid(child, 0)[1] == 0
assert counters.shared.count("pushcart:limit:fork", 60, 1)[0] == 102
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": own_redis.url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_a_new_connection_sends_nothing_but_its_question(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)
    with closing(redis.Redis(port=own_redis.port)) as other:
        other.config_resetstat()
        timed(shared)
        stats = other.info("commandstats")

    assert not {"cmdstat_hello", "cmdstat_client", "cmdstat_client|setinfo"} & stats.keys()


def test_the_callers_of_a_slow_redis_do_not_queue_for_it(own_redis: Redis) -> None:
    shared = Counters(own_redis.url)
    taken = [shared._idle.get() for _ in range(counters.CONNECTIONS)]

    said, took = timed(shared)

    assert said is None
    assert took < counters.BUDGET_SECONDS + 0.1
    for connection in taken:
        shared._idle.put(connection)
    assert timed(shared)[0] is not None
