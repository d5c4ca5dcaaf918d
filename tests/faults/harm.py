"""Chance harms every process that there is; what is done to whom is said before it is done."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psutil

from tests.faults.stack import PATIENCE_SECONDS, Stack, end, resume, suspend
from tests.processes import Process, Web, Worker, wait_for


class Faults:
    """Everything that can be done to the processes; each leaves them running again."""

    def __init__(self, stack: Stack, web: Web, workers: Sequence[Worker], chance: random.Random):
        self._stack = stack
        self._web = web
        self._workers = workers
        self._chance = chance

    def kinds(self) -> list[Callable[[], None]]:
        """All faults, in an order of chance."""
        kinds = [
            self.kill_a_pool_child,
            self.kill_a_worker,
            self.terminate_a_worker_twice,
            self.stop_a_worker_past_its_lease,
            self.kill_a_web_child,
            self.kill_the_web,
            self.terminate_the_web_twice,
            self.kill_redis,
            self.silence_redis,
            self.flush_redis,
            self.fill_redis,
            self.restart_postgresql_fast,
            self.restart_postgresql_immediately,
            self.kill_a_backend,
        ]
        self._chance.shuffle(kinds)
        return kinds

    def _a_worker(self) -> Worker:
        return self._chance.choice(self._workers)

    def _a_while(self, most: float) -> None:
        time.sleep(self._chance.uniform(0, most))

    def kill_a_pool_child(self) -> None:
        _kill_one_of(self._a_worker().processes()[1:], self._chance)

    def kill_a_worker(self) -> None:
        worker = self._a_worker()
        worker.kill()
        self._a_while(2)
        worker.start()

    def terminate_a_worker_twice(self) -> None:
        self._terminate_twice(self._a_worker())

    def terminate_the_web_twice(self) -> None:
        self._terminate_twice(self._web)

    def _terminate_twice(self, process: Process) -> None:
        assert process.process is not None
        process.signal_all(signal.SIGTERM)
        self._a_while(0.5)
        with suppress(psutil.NoSuchProcess):
            process.signal_all(signal.SIGTERM)
        process.process.wait(25)
        process.start()

    def stop_a_worker_past_its_lease(self) -> None:
        worker = self._a_worker()
        worker.signal_all(signal.SIGSTOP)
        time.sleep(3)  # leases are of 2 s: tests/conftest.py
        worker.signal_all(signal.SIGCONT)

    def kill_a_web_child(self) -> None:
        _kill_one_of(self._web.processes()[1:], self._chance)

    def kill_the_web(self) -> None:
        self._web.kill()
        self._web.start()

    def kill_redis(self) -> None:
        end(self._stack.redis, signal.SIGKILL)
        self._a_while(3)
        self._stack.redis.start()

    def silence_redis(self) -> None:
        suspend(self._stack.redis)
        self._a_while(4)
        resume(self._stack.redis)

    def flush_redis(self) -> None:
        with self._stack.asking_redis() as client:
            client.flushall()

    def fill_redis(self) -> None:
        with self._stack.asking_redis() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            self._a_while(3)
            client.config_set("maxmemory", 0)

    def restart_postgresql_fast(self) -> None:
        self._restart_postgresql(signal.SIGINT)

    def restart_postgresql_immediately(self) -> None:
        self._restart_postgresql(signal.SIGQUIT)

    def _restart_postgresql(self, how: signal.Signals) -> None:
        end(self._stack.postgres, how)
        self._a_while(2)
        self._stack.postgres.start()

    def kill_a_backend(self) -> None:
        """One of PostgreSQL's own processes: it ends all others, and recovers."""
        if pids := self._stack.clients_of_postgresql():
            os.kill(self._chance.choice(pids), signal.SIGKILL)
        wait_for("PostgreSQL answers", self._stack.postgres.answers, PATIENCE_SECONDS)


def _kill_one_of(processes: Sequence[psutil.Process], chance: random.Random) -> None:
    if processes:  # else they have just been killed, and are not yet replaced
        with suppress(psutil.NoSuchProcess):
            chance.choice(processes).kill()


def harm(
    faults: Faults, chance: random.Random, enough: Callable[[], bool], tell: Callable[[str], None]
) -> None:
    """Do one thing after the other, all of them before any comes again, until it is enough."""
    for act in _again_and_again(faults):
        time.sleep(chance.uniform(0.3, 1.5))
        if enough():
            return
        tell(act.__name__)
        act()


def _again_and_again(faults: Faults) -> Iterator[Callable[[], None]]:
    while True:
        yield from faults.kinds()
