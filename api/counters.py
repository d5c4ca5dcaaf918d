"""Counters in Redis, shared by all processes, and never waited for.

`count` is one round trip, and whatever may be wrong with Redis costs a request some 50 ms: each
step has that for its timeout, and after a failure Redis is left alone for a while. It speaks
through redis-py's connections, not through its client: measured on one core, a call takes 20 µs
of processor time instead of 90.
"""

import logging
import os
import time
from queue import Empty, SimpleQueue
from typing import Any

import redis

from config import settings

log = logging.getLogger(__name__)

BUDGET_SECONDS = 0.05
# After a failure Redis is left alone, each time for longer: a hiccup costs little of the counting,
# an outage few requests their 50 ms. When the pause is over, one request finds out how things are.
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
WARN_SECONDS = 60.0
# For each process: those of two, in two overlapping releases, are 8 of the 18 connections that
# Heroku's smallest Redis leaves to everyone. Each is busy for one round trip at a time.
CONNECTIONS = 2

# The count starts with its first use and ends by itself; says how far it is, and the
# milliseconds left. EVAL, not EVALSHA: no case for a Redis that has forgotten the script.
_SCRIPT = b"""\
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}"""
_EVAL = b"*5\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(_SCRIPT), _SCRIPT)


class Counters:
    """Connections to one Redis: a fixed number, each made when it is first used."""

    def __init__(self, url: str) -> None:
        # Neither a protocol to agree on nor a name to give: each would cost a new connection a
        # round trip.
        pool = redis.ConnectionPool.from_url(url, protocol=2, driver_info=None)
        # What the URL may say of them was meant for Celery.
        pool.connection_kwargs |= {
            "socket_timeout": BUDGET_SECONDS,
            "socket_connect_timeout": BUDGET_SECONDS,
        }
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(pool.make_connection())
        self._pause_seconds = 0.0  # as long as the last one; 0 while all is well
        self._skip_until = 0.0
        self._warned_at = float("-inf")

    def count(self, name: str, seconds: float) -> tuple[int, float] | None:
        """Add one to a counter that lives for `seconds` from its first use on.

        Returns how far it is and how many seconds it has left; None when Redis does not say.
        """
        now = time.monotonic()
        if now < self._skip_until:
            return None
        finding_out = self._pause_seconds > 0
        if finding_out:
            self._skip_until = now + self._pause_seconds  # the others pass meanwhile
        try:
            connection = self._idle.get(timeout=BUDGET_SECONDS)
        except Empty:  # every connection waits for a Redis that is slow
            return None
        try:
            if self._pause_seconds and not finding_out:  # as was found out while this waited
                return None
            count, left = _ask(connection, _command(name, seconds))
        except redis.RedisError as error:
            connection.disconnect()
            self._leave_alone(error)
            return None
        finally:
            self._idle.put(connection)
        if finding_out:
            self._pause_seconds = self._skip_until = 0.0
        return count, left / 1000

    def _leave_alone(self, error: redis.RedisError) -> None:
        now = time.monotonic()
        longer = max(2 * self._pause_seconds, FIRST_PAUSE_SECONDS)
        self._pause_seconds = min(longer, LONGEST_PAUSE_SECONDS)
        self._skip_until = now + self._pause_seconds
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning("Redis does not count, requests pass without a limit: %s", error)


def _command(name: str, seconds: float) -> bytes:
    key, lifetime = name.encode("utf-8", "surrogateescape"), b"%d" % (seconds * 1000)
    return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (_EVAL, len(key), key, len(lifetime), lifetime)


def _ask(connection: Any, command: bytes) -> Any:
    kept = connection.is_connected
    try:
        return _exchange(connection, command)
    except redis.ConnectionError:
        if not kept:
            raise
        # Redis has restarted, or closed what was idle for long: a new connection will do.
        return _exchange(connection, command)


def _exchange(connection: Any, command: bytes) -> Any:
    connection.send_packed_command([command], check_health=False)
    return connection.read_response()


shared = Counters(settings.redis_url)


def _start_anew() -> None:
    global shared  # noqa: PLW0603  # two processes on one socket garble each other's answers
    shared = Counters(settings.redis_url)


os.register_at_fork(after_in_child=_start_anew)
