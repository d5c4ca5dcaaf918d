"""What is counted of requests, for Prometheus: in files that all processes of this dyno share.

gunicorn.conf.py says where those files are. Elsewhere, as in a test, it is this process's numbers.
"""

from collections.abc import Iterable
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from config import settings

_METHODS = frozenset(HTTPMethod)
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_requests = Histogram(
    "pushcart_request_seconds",
    "Time of requests by method, route and status.",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
_known: dict[tuple[str, str | None, int], Histogram] = {}


def observe(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request; of addresses that are no route's, all as one."""
    seen = method, route, status
    histogram = _known.get(seen)
    if histogram is None:
        # What a client makes up is not to become a time series of its own.
        named = method if method in _METHODS else "other"
        histogram = _requests.labels(named, route or "none", status)
        if named == method:
            _known[seen] = histogram
    histogram.observe(seconds)


def exposition(more: Iterable[Metric]) -> bytes:
    """All that was counted by the processes of this dyno, and more, in Prometheus' text format."""
    registry = CollectorRegistry()
    if settings.metrics_folder:
        MultiProcessCollector(registry, settings.metrics_folder)  # type: ignore[no-untyped-call]
    else:
        registry.register(_OfThisProcess())
    registry.register(_Given(more))
    return generate_latest(registry)


class _OfThisProcess(Collector):
    def collect(self) -> Iterable[Metric]:
        return (metric for metric in REGISTRY.collect() if metric.name.startswith("pushcart_"))


class _Given(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
