"""Fixtures: servers and processes that may be harmed, and chance that can be had again."""

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults import extent
from tests.faults.stack import PATIENCE_SECONDS, Stack
from tests.processes import Web

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests time: they wait for what others do, and end as soon as it is done."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(3 * PATIENCE_SECONDS + extent.SOAK_SECONDS))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and Redis for all fault tests, started once.

    Not in pytest's own folder: each run of pytest shuts that to other users, and PostgreSQL, which
    runs as one, must be able to start again in it.
    """
    with (
        TemporaryDirectory(prefix="pushcart-faults-") as data,
        Stack(Path(data), tmp_path_factory.mktemp("logs")) as running,
    ):
        yield running


@pytest.fixture
def stack(servers: Stack) -> Iterator[Stack]:
    """Both servers, empty; they are made to answer again after the test, whatever it did."""
    servers.heal()
    yield servers
    servers.heal()


@pytest.fixture(scope="session")
def web(servers: Stack) -> Iterator[Web]:
    """A gunicorn for all tests that do it no harm."""
    with servers.web(WEB_CONCURRENCY="2") as running:
        yield running


@pytest.fixture
def chance() -> random.Random:
    """Random moments; the seed that gives the same ones again is printed."""
    print(f"again with FAULTS_SEED={extent.SEED}")
    return random.Random(extent.SEED)
