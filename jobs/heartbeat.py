"""Which workers live: each says so with every tick of its clock, in Redis.

Not in PostgreSQL, because it is the worker's main process that speaks, which has no connection
there and must not wait for one; and a worker that cannot reach Redis takes no work anyway.
"""

import time
from dataclasses import dataclass

import redis

from config import settings

_KEY = "pushcart:workers"  # a sorted set: names by the time of the last beat
_TIMEOUT_SECONDS = 1.0
_MISSED_BEATS = 3
_FORGOTTEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that lives, and when it last said so (Unix time)."""

    name: str
    seen_at: float


def beat(name: str) -> None:
    """Say that the worker lives. Raises redis.RedisError, after 2 s at most.

    By a connection of its own, closed at once: Heroku's smallest Redis counts those that stay.
    """
    now = time.time()
    with _connected() as server, server.pipeline(transaction=False) as commands:
        commands.zadd(_KEY, {name: now})
        commands.zremrangebyscore(_KEY, 0, now - _FORGOTTEN_SECONDS)
        commands.execute()


def alive() -> list[Worker]:
    """The workers that have not missed three beats, by name. Raises redis.RedisError."""
    since = time.time() - _MISSED_BEATS * settings.sweep_seconds - 2 * _TIMEOUT_SECONDS
    with _connected() as server:
        found = server.zrangebyscore(_KEY, since, "+inf", withscores=True)
    return sorted(
        (Worker(name.decode(), seen_at) for name, seen_at in found), key=lambda worker: worker.name
    )


def _connected() -> redis.Redis:
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        single_connection_client=True,
    )
