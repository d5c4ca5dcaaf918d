"""`/healthz`: the process lives. `/readyz`: it can serve, with what it needs beside it."""

import redis
from alembic.script import ScriptDirectory
from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from config import settings
from models import read

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Always 200: restarting the process would not help against anything else."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """200 when PostgreSQL answers with the schema of this code, and Redis answers; else 503."""
    checks = {"postgresql": _postgresql(), "redis": _redis()}
    ready = all(state == "ok" for state in checks.values())
    return jsonify(status="ok" if ready else "unavailable", **checks), 200 if ready else 503


def _postgresql() -> str:
    try:
        applied = {row[0] for row in read(text("SELECT version_num FROM alembic_version"))}
    except SQLAlchemyError:
        return "does not answer, or has no tables yet"
    known = {script.revision for script in _migrations().walk_revisions()}
    # A database that is ahead of the code serves it well: migrations are made so.
    behind = not applied or (applied <= known and applied != set(_migrations().get_heads()))
    return "migrations are missing" if behind else "ok"


def _migrations() -> ScriptDirectory:
    return ScriptDirectory(str(current_app.extensions["migrate"].directory))


def _redis() -> str:
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_timeout=1, socket_connect_timeout=1
        ) as r:
            r.ping()
    except redis.RedisError:
        return "does not answer"
    return "ok"
