"""How often: requests are counted for each key, else for each client address, over all dynos.

A window of a minute begins with a client's first request; so many fit into it, then 429 until it
ends. Of the usual ways this is the simplest: one counter that ends by itself, exact over any
number of processes, and its three numbers (limit, rest, seconds to the end) say all there is to
say. Its price is that two windows' worth may fall around the moment between them; a token bucket
would spread them, and this is here to keep one client from taking the whole shop, not to pace it.

Redis away: requests pass (`api/counters.py`). Headers: draft-ietf-httpapi-ratelimit-headers.
"""

import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from flask import Response, after_this_request, request

from access.memory import Memory
from api import counters
from config import settings
from errors import TooManyRequests

WINDOW_SECONDS = 60

# Who has used up a window, and when it ends: until then nobody has to be asked. Exact, because
# a count never goes down within its window.
_used_up: Memory[float] = Memory(10_000)


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


def count_key(key_id: str) -> None:
    """Count this request for a key. Raises TooManyRequests beyond its limit."""
    _count("key", key_id, settings.rate_limit)


def count_address() -> None:
    """Count this request for its client's address. Raises TooManyRequests beyond its limit."""
    if settings.rate_limit_visitors:
        _count("address", client_address(), settings.rate_limit_visitors)


def spare_database() -> None:
    """Raise TooManyRequests where a key that is new here comes from an address beyond its limit.

    A few of them pass each second: a good key is let in even beside one who tries out others, and
    who does that has no more than these few looked up.
    """
    limit = settings.rate_limit_visitors
    left = _seconds_used_up(f"address:{client_address()}") if limit else 0
    if left and not _strangers.one_more():
        _judge("address", limit, limit + 1, left)


def client_address() -> str:
    """Who sent the request: the last hop of X-Forwarded-For where a router writes it.

    Of an IPv6 address its network of /64, all of which is usually one client's.
    """
    hops = request.headers.get("X-Forwarded-For", "") if settings.trust_forwarded_for else ""
    return _network(hops.rpartition(",")[2].strip() or request.remote_addr or "")


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


def _count(kind: str, who: str, limit: int) -> None:
    if not limit:
        return
    name = f"{kind}:{who}"
    if left := _seconds_used_up(name):
        _judge(kind, limit, limit + 1, left)  # raises
    counted = counters.shared.count(f"pushcart:limit:{name}", WINDOW_SECONDS)
    if counted is None:
        return
    count, left = counted
    if count > limit:
        _used_up.put(name, time.monotonic() + left)
    _judge(kind, limit, count, left)


def _seconds_used_up(name: str) -> float:
    """For how long the window will stay used up; 0 where that is not known."""
    ends = _used_up.get(name)
    return max(ends - time.monotonic(), 0) if ends else 0


def _judge(kind: str, limit: int, count: int, left: float) -> None:
    """Tell the client how it stands; raise TooManyRequests if its count is beyond the limit."""
    seconds, rest = max(ceil(left), 1), max(limit - count, 0)

    def tell(response: Response) -> Response:
        response.headers["RateLimit-Policy"] = f'"{kind}";q={limit};w={WINDOW_SECONDS}'
        response.headers["RateLimit"] = f'"{kind}";r={rest};t={seconds}'
        if count > limit:
            response.headers["Retry-After"] = str(seconds)
        return response

    after_this_request(tell)
    if count > limit:
        raise TooManyRequests(
            f"More than {limit} requests in {WINDOW_SECONDS} seconds. Try again in {seconds}."
        )
