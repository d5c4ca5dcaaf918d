"""`/healthz`: the process lives. `/readyz`: it can serve, with what it needs beside it."""

import redis
from alembic.script import ScriptDirectory
from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.operations import Answer, operation
from config import settings
from models import JSONObject
from reads import read

blueprint = Blueprint("health", __name__)


def _status(**checks: str) -> JSONObject:
    properties = {name: {"type": "string", "examples": [state]} for name, state in checks.items()}
    return {"type": "object", "required": list(checks), "properties": properties}


@blueprint.get("/healthz")
@operation(None, answers={200: Answer("It lives.", _status(status="ok"))})
def healthz() -> ResponseReturnValue:
    """Say that the process lives.

    Always 200: restarting it would not help against anything else.
    """
    return {"status": "ok"}


@blueprint.get("/readyz")
@operation(
    None,
    answers={
        200: Answer("It can serve.", _status(status="ok", postgresql="ok", redis="ok")),
        503: Answer(
            "Not now.", _status(status="unavailable", postgresql="ok", redis="does not answer")
        ),
    },
)
def readyz() -> ResponseReturnValue:
    """Say whether requests can be served.

    200 when PostgreSQL answers with the schema of this code, and Redis answers; else 503.
    """
    checks = {"postgresql": postgresql(), "redis": redis_state()}
    ready = all(state == "ok" for state in checks.values())
    return jsonify(status="ok" if ready else "unavailable", **checks), 200 if ready else 503


def postgresql() -> str:
    """`ok`, or what is wrong with PostgreSQL."""
    try:
        applied = {row[0] for row in read(text("SELECT version_num FROM alembic_version"))}
    except SQLAlchemyError:
        return "does not answer, or has no tables yet"
    known = {script.revision for script in migrations().walk_revisions()}
    # A database that is ahead of the code serves it well: migrations are made so.
    behind = not applied or (applied <= known and applied != set(migrations().get_heads()))
    return "migrations are missing" if behind else "ok"


def migrations() -> ScriptDirectory:
    """The migrations that this code knows."""
    return ScriptDirectory(str(current_app.extensions["migrate"].directory))


def redis_state() -> str:
    """`ok`, or what is wrong with Redis."""
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_timeout=1, socket_connect_timeout=1
        ) as r:
            r.ping()
    except redis.RedisError:
        return "does not answer"
    return "ok"
