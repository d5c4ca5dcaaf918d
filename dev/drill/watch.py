"""Looks, several times a second, at what the plans limit: connections, and memory of dynos."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Self

import psycopg2
import redis

from dev.drill.addons import Addons
from dev.drill.heroku import Heroku

_PAUSE_SECONDS = 0.1
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'"


class Watch:
    """The most that was seen of each, since `take` was last asked."""

    def __init__(self, addons: Addons, app: Heroku) -> None:
        self._addons = addons
        self._app = app
        self._most: Counter[str] = Counter()
        self._stopped = Event()
        self._threads = [
            Thread(target=self._repeat, args=look)
            for look in ((self._postgresql, 0.1), (self._redis, 0.1), (self._memory, 2.0))
        ]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def take(self) -> Counter[str]:
        """The most of `postgresql`, `redis`, `web` and `worker` (MB of a dyno); begins anew."""
        most, self._most = self._most, Counter()
        return most

    def _repeat(self, look: Callable[[], None], pause: float) -> None:
        while not self._stopped.wait(pause):
            # A server that is away has no connections.
            with suppress(psycopg2.OperationalError, redis.RedisError):
                look()

    def _see(self, what: str, amount: float) -> None:
        self._most[what] = max(self._most[what], round(amount))

    def _postgresql(self) -> None:
        """By a connection to another database, for as long as it lasts."""
        url = self._addons.postgres.url("postgres")
        with closing(psycopg2.connect(url, connect_timeout=2)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self._stopped.wait(_PAUSE_SECONDS):
                    cursor.execute(_CONNECTIONS)
                    (count,) = cursor.fetchone() or (0,)
                    self._see("postgresql", count)

    def _redis(self) -> None:
        with closing(self._addons.redis.client()) as client:
            while not self._stopped.wait(_PAUSE_SECONDS):
                self._see("redis", len(client.client_list()) - 1)

    def _memory(self) -> None:
        for dyno in self._app.living():
            self._see(dyno.kind, dyno.megabytes())
