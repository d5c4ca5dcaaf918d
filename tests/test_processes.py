"""The helper that starts real processes leaves none behind that never became ready."""

from pathlib import Path

import psutil
import pytest

from tests.processes import Process


class NeverReady(Process):
    """Runs, and never says that it can be given work."""

    command = ("python", "-c", "print('here I am', flush=True); import time; time.sleep(60)")
    ready_seconds = 0.5

    def is_ready(self) -> bool:
        return False


class Ended(NeverReady):
    """Ends at once."""

    command = ("python", "-c", "raise SystemExit('no configuration')")
    ready_seconds = 20


def test_a_process_that_never_becomes_ready_is_stopped(tmp_path: Path) -> None:
    process = NeverReady(tmp_path)

    with pytest.raises(AssertionError, match="is ready: not within") as raised:
        process.start()

    assert process.process is not None
    assert not psutil.pid_exists(process.process.pid)
    assert raised.value.__notes__ == ["here I am\n"]


def test_a_process_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="has ended") as raised:
        Ended(tmp_path).start()

    assert raised.value.__notes__ == ["no configuration\n"]
