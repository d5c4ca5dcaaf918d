"""A PostgreSQL and a Redis of this run's own, started before anything of the app is imported.

`config` reads the environment once, at its first import: the servers have to stand before pytest
collects the test modules. The fixtures, which import the app, lie in `tests/stage.py`.
"""

import logging
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from dev.services import Postgres, Redis, free_port

_servers = ExitStack()
# Heroku CI runs the tests on a dyno, which they are not to be taken for.
_OF_A_DYNO = ("DYNO", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, point the app to them, and only then load the fixtures."""
    for name in _OF_A_DYNO:
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="pushcart-tests-"))
    _servers.callback(shutil.rmtree, folder, ignore_errors=True)
    postgres = _servers.enter_context(Postgres(folder / "postgres", free_port(), durable=False))
    redis = _servers.enter_context(Redis(folder / "redis", free_port(), durable=False))
    postgres.create_database("pushcart")
    os.environ.update(
        DATABASE_URL=postgres.url("pushcart"),
        REDIS_URL=redis.url,
        SECRET_KEY="a-secret-for-the-tests-alone",
        ADMIN_API_KEY="a-key-for-the-tests-alone",
        SHOP_CURRENCY="USD",
        PUBLIC_READS="1",
        MAX_IMPORT_BYTES=str(4 * 1024 * 1024),
        JOB_LEASE_SECONDS="2",
        JOB_SWEEP_SECONDS="0.5",
        LOG_LEVEL="INFO",
        RATE_LIMIT="0",
        RATE_LIMIT_VISITORS="0",
    )
    # A failure must show more than the requests of clients that ask again and again.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config.pluginmanager.import_plugin("tests.stage")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left with it in the end."""
    items.sort(key=lambda item: item.path.stem not in ("test_drill", "test_schemathesis"))


def pytest_unconfigure() -> None:
    """Stop what was started."""
    _servers.close()
