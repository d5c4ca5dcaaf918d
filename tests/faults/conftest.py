"""Fixtures: servers and processes that may be harmed, and chance that can be had again."""

import logging
import random
from collections.abc import Iterator

import pytest

from tests.faults import extent
from tests.faults.stack import Stack
from tests.processes import Web


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and Redis for all fault tests, started once."""
    with Stack(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def stack(servers: Stack) -> Iterator[Stack]:
    """Both servers, empty; they are made to answer again after the test, whatever it did."""
    servers.heal()
    yield servers
    servers.heal()


@pytest.fixture(scope="module")
def web(servers: Stack) -> Iterator[Web]:
    """A gunicorn for all tests of a module."""
    with servers.web(WEB_CONCURRENCY="2") as running:
        yield running


@pytest.fixture
def chance() -> random.Random:
    """Random moments; the seed that gives the same ones again is printed."""
    print(f"again with FAULTS_SEED={extent.SEED}")
    return random.Random(extent.SEED)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A failure must show more than the requests of clients that ask again and again."""
    caplog.set_level(logging.WARNING, "httpx")
