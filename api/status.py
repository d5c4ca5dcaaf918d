"""`/status`: how the shop does, for its operator. `/metrics`: the same and more, for Prometheus.

Both are for a key with `jobs:read`: they tell what runs. `/healthz` and `/readyz` need none.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import redis
from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from sqlalchemy.exc import SQLAlchemyError

from api import health, metrics
from api.operations import Answer, operation
from config import settings
from jobs import depth, heartbeat
from models import JSONObject
from schemas import rfc3339

blueprint = Blueprint("status", __name__)


def _schema() -> JSONObject:
    text: JSONObject = {"type": "string"}
    seconds = {"type": ["number", "null"], "minimum": 0}
    count = {"type": "integer", "minimum": 0}

    def of(**properties: Any) -> JSONObject:
        return {"type": "object", "required": list(properties), "properties": properties}

    time = {**text, "format": "date-time", "examples": ["2026-11-21T08:30:00Z"]}
    worker = of(name=text, seen_at=time)
    jobs = of(
        kind=text,
        status={"type": "string", "enum": ["queued", "running"]},
        count=count,
        abandoned=count,
        oldest_seconds=seconds,
    )
    return of(
        status={"type": "string", "enum": ["ok", "degraded"]},
        release=text,
        postgresql={**text, "examples": ["ok"]},
        redis={**text, "examples": ["ok"]},
        workers={"type": "array", "items": worker},
        jobs={"type": "array", "items": jobs},
        oldest_waiting_seconds=seconds,
        warnings={"type": "array", "items": text},
    )


@blueprint.get("/status")
@operation("jobs:read", answers={200: Answer("How it does.", _schema())})
def get_status() -> ResponseReturnValue:
    """Read how the shop does: queue, workers, PostgreSQL, Redis and release.

    `warnings` say what somebody should see to; without any, and with both servers up, `status` is
    `ok`. `oldest_seconds` is for how long a job could have begun and has not; `abandoned` jobs are
    those whose worker is gone: a living one takes them over.
    """
    servers = {"postgresql": health.postgresql(), "redis": health.redis_state()}
    workers, jobs = _workers(), _jobs()
    warnings = list(_warnings(workers, jobs))
    well = not warnings and all(state == "ok" for state in servers.values())
    return {
        "status": "ok" if well else "degraded",
        "release": settings.release,
        **servers,
        "workers": [{"name": each.name, "seen_at": _time(each.seen_at)} for each in workers or ()],
        "jobs": [
            {
                "kind": each.kind,
                "status": each.status,
                "count": each.count,
                "abandoned": each.abandoned,
                "oldest_seconds": each.oldest_seconds,
            }
            for each in jobs or ()
        ],
        "oldest_waiting_seconds": _oldest(jobs or ()),
        "warnings": warnings,
    }


@blueprint.get("/metrics")
@operation(
    "jobs:read",
    answers={200: Answer("The metrics.", {"type": "string"}, media_type="text/plain")},
)
def get_metrics() -> ResponseReturnValue:
    """Read what is counted, in Prometheus' text format.

    Of requests: those of the dyno that answers, over all its processes. Of jobs and workers: all.
    """
    return Response(metrics.exposition(_gauges()), content_type=CONTENT_TYPE_LATEST)


def _gauges() -> Iterator[Metric]:
    info = InfoMetricFamily("pushcart", "Which dyno answers, and of which release.")
    info.add_metric([], {"dyno": settings.dyno, "release": settings.release})
    yield info
    workers, jobs = _workers(), _jobs()
    if workers is not None:
        yield GaugeMetricFamily("pushcart_workers", "Workers that live.", len(workers))
    if jobs is not None:
        depths = GaugeMetricFamily("pushcart_jobs", "Unfinished jobs.", labels=("kind", "status"))
        for each in jobs:
            depths.add_metric([each.kind, each.status], each.count)
        yield depths
        yield GaugeMetricFamily(
            "pushcart_oldest_waiting_job_seconds",
            "For how long a job could have begun and has not.",
            _oldest(jobs) or 0.0,
        )


def _workers() -> list[heartbeat.Worker] | None:
    """The living workers; None where Redis does not say."""
    try:
        return heartbeat.alive()
    except redis.RedisError:
        return None


def _jobs() -> list[depth.Depth] | None:
    """The unfinished jobs; None where PostgreSQL does not say."""
    try:
        return depth.unfinished()
    except SQLAlchemyError:
        return None


def _warnings(
    workers: list[heartbeat.Worker] | None, jobs: list[depth.Depth] | None
) -> Iterator[str]:
    count = sum(each.count for each in jobs or ())
    if workers == [] and count:
        verb = "job waits" if count == 1 else "jobs wait"
        yield f"{count} {verb} and no worker lives: start one, as with heroku ps:scale worker=1."
    if workers and (abandoned := sum(each.abandoned for each in jobs or ())):
        yield f"The workers of {abandoned} jobs are gone: another takes them over within a minute."


def _oldest(jobs: list[depth.Depth] | tuple[()]) -> float | None:
    return max(
        (each.oldest_seconds for each in jobs if each.oldest_seconds is not None), default=None
    )


def _time(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))
