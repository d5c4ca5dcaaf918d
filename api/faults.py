"""Reports of our faults to Sentry, where `SENTRY_DSN` is set; without values that were sent."""

from typing import Any

from config import settings

if settings.sentry_dsn:  # it takes some 15 MB of a dyno's 512
    import sentry_sdk

_QUOTING = ("psycopg2", "sqlalchemy")  # whose errors quote values


def report() -> None:
    """Report what is logged as an error, and what a task raises, if somebody wants to know.

    Sentry finds Flask, Celery and SQLAlchemy by itself; sends from a thread, in each process anew.
    """
    if not settings.sentry_dsn:
        return
    sentry_sdk.init(
        settings.sentry_dsn,
        release=settings.release or None,
        server_name=settings.dyno or None,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        before_send=discreet,
        before_breadcrumb=lambda crumb, _: None if crumb.get("category") == "query" else crumb,
    )


def discreet(event: Any, _hint: Any) -> Any:
    """The event without query string, headers and cookies, and without what errors quote."""
    request = event.get("request", {})
    if request:
        event["request"] = {name: request[name] for name in ("method", "url") if name in request}
    for error in event.get("exception", {}).get("values", ()):
        if str(error.get("module", "")).startswith(_QUOTING):
            error["value"] = ""
    return event
