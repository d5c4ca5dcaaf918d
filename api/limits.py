"""How often: requests are counted for each key, else for each client address, over all dynos.

A window of a minute begins with a client's first request; so many fit into it, then 429 until it
ends. Of the usual ways this is the simplest: one counter that ends by itself, and its three numbers
(limit, rest, seconds to the end) say all there is to say. Its price is that two windows' worth may
fall around the moment between them; a token bucket would spread them, and this is here to keep one
client from taking the whole shop, not to pace it.

The counter is in Redis, and a process takes from it a hundredth of what is left, at least one
request, to let pass by itself: so far from the limit few requests wait for Redis. Never do more
pass than the limit says; what a process has taken and then sees nothing of is lost to the client
until the window ends, a hundredth for each process at most (docs/adr/0011).

Redis away: requests pass (`api/counters.py`). Headers: draft-ietf-httpapi-ratelimit-headers.
"""

import math
import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import NamedTuple, NoReturn
from wsgiref.types import WSGIEnvironment

from access.keys import Key
from access.memory import Memory
from api import context, counters
from config import settings
from errors import TooManyRequests

WINDOW_SECONDS = 60


class _Client(NamedTuple):
    """Whom a request counts for, and how many it has in a window; 0: as many as it likes."""

    kind: str
    name: str
    limit: int


class _Window:
    """What this process knows of a client's window: its end, and what may pass in it yet."""

    __slots__ = ("_mine", "_others", "ends")

    def __init__(self, limit: int) -> None:
        self.ends = math.inf
        self._mine = 0  # in the shares that this process has taken
        self._others = limit  # in no share yet, or in another process's

    @property
    def left(self) -> int:
        """How many requests the client has left, as far as is known here."""
        return self._others + self._mine

    def add(self, limit: int, counted: counters.Counted) -> int:
        """Add a share, of which one is for the request that has asked; returns what is left.

        As Redis said to that request: answers may overtake each other on their way here.
        """
        self.ends = time.monotonic() + counted.seconds
        rest = max(limit - counted.used, 0)
        self._others = min(self._others, rest)
        self._mine += counted.share - 1
        return rest + counted.share - 1

    def take(self) -> int | None:
        """Let one more pass; returns what is left, or None if Redis has to be asked."""
        with _changing:
            if not self._mine:
                return None
            self._mine -= 1
            return self.left


_changing = Lock()
_windows: Memory[_Window] = Memory(10_000)


class _PerSecond:
    """Lets some pass in each second of this process; who comes later is too many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._second = self._passed = 0

    def one_more(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._passed = second, 0
        self._passed += 1
        return self._passed <= self._limit


_strangers = _PerSecond(10)


def count(key: Key | None) -> None:
    """Count this request for its key, else for its address. Raises TooManyRequests."""
    if count_at_once(key):
        return
    client = _client(key)
    window = _open(client)
    if window is not None and window.left <= 0:
        _refuse(client, window)
    counted = counters.shared.count(_counter(client), WINDOW_SECONDS, client.limit)
    if counted is None:
        return
    window, left = _with_share(client, counted)
    if counted.used > client.limit:
        _refuse(client, window)
    _tell(client, window, left)


def count_at_once(key: Key | None) -> bool:
    """Count this request without asking Redis; False where that is not possible."""
    client = _client(key)
    if not client.limit:
        return True
    window = _open(client)
    if window is not None:
        left = window.take()
        if left is not None:
            _tell(client, window, left)
            return True
        if window.left <= 0:
            return False
    return counters.shared.is_left_alone()


def spare_database() -> None:
    """Raise TooManyRequests where a key that is new here comes from an address beyond its limit.

    A few of them pass each second: a good key is let in even beside one who tries out others, and
    who does that has no more than these few looked up.
    """
    client = _client(None)
    window = _open(client) if client.limit else None
    if window is not None and window.left <= 0 and not _strangers.one_more():
        _refuse(client, window)


def client_address(environ: WSGIEnvironment) -> str:
    """Who sent the request: the last hop of X-Forwarded-For where a router writes it.

    Of an IPv6 address its network of /64, all of which is usually one client's.
    """
    hops = environ.get("HTTP_X_FORWARDED_FOR", "") if settings.trust_forwarded_for else ""
    return _network(hops.rpartition(",")[2].strip() or environ.get("REMOTE_ADDR", ""))


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped or ip_network((parsed.packed, 64), strict=False))


def _client(key: Key | None) -> _Client:
    if key is not None:
        return _Client("key", key.id, settings.rate_limit)
    return _Client(
        "address", client_address(context.current().environ), settings.rate_limit_visitors
    )


def _counter(client: _Client) -> str:
    return f"pushcart:limit:{client.kind}:{client.name}"


def _open(client: _Client) -> _Window | None:
    """What is known of the client's window, unless that has ended."""
    window = _windows.get(_counter(client))
    return window if window is not None and window.ends > time.monotonic() else None


def _with_share(client: _Client, counted: counters.Counted) -> tuple[_Window, int]:
    with _changing:  # several threads may have asked at once, and each has got something
        window = _open(client)
        if window is None:
            window = _Window(client.limit)
            _windows.put(_counter(client), window)
        return window, window.add(client.limit, counted)


def _tell(client: _Client, window: _Window, left: int) -> int:
    """Tell the client how it stands; returns for how many seconds."""
    seconds = max(math.ceil(window.ends - time.monotonic()), 1)
    context.current().headers += [
        ("RateLimit-Policy", f'"{client.kind}";q={client.limit};w={WINDOW_SECONDS}'),
        ("RateLimit", f'"{client.kind}";r={left};t={seconds}'),
    ]
    return seconds


def _refuse(client: _Client, window: _Window) -> NoReturn:
    seconds = _tell(client, window, 0)
    context.current().headers.append(("Retry-After", str(seconds)))
    raise TooManyRequests(
        f"More than {client.limit} requests in {WINDOW_SECONDS} seconds. Try again in {seconds}."
    )
