"""PostgreSQL restarted, or its connections ended: nothing acknowledged is lost, 503 at most."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.clients import assert_kept, creating
from tests.faults.extent import POSTGRES_AWAY_SECONDS, only_in_full
from tests.faults.importing import Import
from tests.faults.stack import Stack, end
from tests.processes import Web

TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
BACKENDS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def restart_fast(stack: Stack) -> None:
    restart(stack, signal.SIGINT)


def restart_immediately(stack: Stack) -> None:
    restart(stack, signal.SIGQUIT)


def restart(stack: Stack, how: signal.Signals) -> None:
    """As `pg_ctl stop -m fast` or `-m immediate`, a while of nothing, and `pg_ctl start`."""
    end(stack.postgres, how)
    time.sleep(POSTGRES_AWAY_SECONDS)
    stack.postgres.start()


def kill_a_backend(stack: Stack) -> None:
    """PostgreSQL then ends all others too, and recovers from its log."""
    os.kill(stack.rows(BACKENDS)[0].pid, signal.SIGKILL)


def end_all_connections(stack: Stack) -> None:
    stack.rows(TERMINATE)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(restart_fast, marks=only_in_full),
        restart_immediately,
        pytest.param(kill_a_backend, marks=only_in_full),
        pytest.param(end_all_connections, marks=only_in_full),
    ],
)
def test_an_import_and_its_neighbours_survive_postgresql_twice(
    stack: Stack, web: Web, harm: Callable[[Stack], None]
) -> None:
    with stack.worker(), creating(web) as told:
        job = Import(web)
        seen = 0
        for _ in range(2):
            seen = job.in_the_middle(beyond=seen)
            harm(stack)
        job.ended()
        assert set.union(*(each.statuses for each in told)) <= {200, 201, 409, 503}

    assert_kept(stack, told)
    assert not any(each.cut_off for each in told)
    job.assert_exactly_once(stack)
