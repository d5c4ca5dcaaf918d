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
from typing import Any, NamedTuple

import redis

from config import settings

log = logging.getLogger(__name__)

BUDGET_SECONDS = 0.05
# After a failure Redis is left alone, each time for longer: a hiccup costs little of the counting,
# an outage few requests their 50 ms. When the pause is over, one request finds out how things are.
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
WARN_SECONDS = 60.0
# For each process: those of two, in two overlapping releases, are 4 of the 18 connections that
# Heroku's smallest Redis leaves to everyone. It is busy for one round trip at a time.
CONNECTIONS = 1

# The count starts with its first use and ends by itself. Who asks takes a hundredth of what is
# left, and one at least. EVAL, not EVALSHA: no case for a Redis that has forgotten the script.
_SCRIPT = b"""\
local before = tonumber(redis.call('GET', KEYS[1]) or 0)
local share = math.max(math.floor((ARGV[2] - before) / 100), 1)
local count = redis.call('INCRBY', KEYS[1], share)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, share, left}"""
_EVAL = b"*6\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(_SCRIPT), _SCRIPT)


class Counted(NamedTuple):
    """How far a counter is, with the share that was taken just now, and when it ends."""

    used: int
    share: int
    seconds: float


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

    def is_left_alone(self) -> bool:
        """Whether Redis would not be asked now."""
        return time.monotonic() < self._skip_until

    def count(self, name: str, seconds: float, limit: int) -> Counted | None:
        """Add a share of `limit` to a counter that lives for `seconds` from its first use on.

        None when Redis does not say.
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
            count, share, left = _ask(connection, _command(name, seconds, limit))
        except redis.RedisError as error:
            connection.disconnect()
            self._leave_alone(error)
            return None
        finally:
            self._idle.put(connection)
        if finding_out:
            self._pause_seconds = self._skip_until = 0.0
        return Counted(count, share, left / 1000)

    def _leave_alone(self, error: redis.RedisError) -> None:
        now = time.monotonic()
        longer = max(2 * self._pause_seconds, FIRST_PAUSE_SECONDS)
        self._pause_seconds = min(longer, LONGEST_PAUSE_SECONDS)
        self._skip_until = now + self._pause_seconds
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning("Redis does not count, requests pass without a limit: %s", error)


def _command(name: str, seconds: float, limit: int) -> bytes:
    given = (name.encode("utf-8", "surrogateescape"), b"%d" % (seconds * 1000), b"%d" % limit)
    return _EVAL + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in given)


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
