"""kombu's transport for Redis, with one pool of connections for a channel instead of two.

Kombu finds out through one pool whether Redis answers, and publishes through another: whoever
publishes would hold two connections, of the few that Heroku's smallest Redis has.

A Redis that is full is one that is away for a while: a worker that has to connect just then waits
for room, where kombu's ends.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import OutOfMemoryError


class _Channel(redis.Channel):
    @property
    def pool(self) -> Any:
        return self.async_pool


class Transport(redis.Transport):
    """What make_celery puts in the place of kombu's own."""

    Channel = _Channel
    connection_errors = (*redis.Transport.connection_errors, OutOfMemoryError)
