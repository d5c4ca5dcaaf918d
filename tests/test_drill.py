"""The drill in short; and its judge, which finds what it is to find."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.drill.acts import SHORT, Drill
from dev.drill.judge import Act, Report
from dev.drill.load import Asked
from tests.processes import ROOT

# Other tests, and other people's work, may be going on: a start may take longer than it should.
PATIENCE = 5


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
@pytest.mark.timeout(600)
def test_a_shop_that_is_deployed_scaled_and_harmed_keeps_its_promises() -> None:
    # Not pytest's folder: each run of pytest closes that to others, such as PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="pushcart-drill-") as folder:
        report = Drill(SHORT, Path(folder), []).run()

    acts = {act.title: act for act in report.acts}
    assert report.broken(PATIENCE) == [], f"\n{report}"
    assert len(acts) == 9
    assert min(len(act.asked) for act in report.acts) > 20
    # The harm was felt, where it has to be: else nothing was proved.
    assert acts["PostgreSQL restarts"].server_errors > 0
    assert acts["git push, beside the old release"].most["postgresql"] > 6
    assert len(acts["git push, beside the old release"].exits) == 2
    assert len(acts["worker 1 → 3 → 0 → 1"].exits) == 3


READ = Asked("GET /", 10.0, 10.1, 200, retry_after=False)
DOWN = Asked("GET /", 20.5, 20.6, 503, retry_after=True)
CUT = Asked("GET /", 30.4, 30.5, None, retry_after=False)


def a_report(*asked: Asked, **changes: Any) -> Report:
    """One that keeps all promises, but for what is changed."""
    fields = {"seconds": 1.0, "answers_after": 0.5, "jobs_after": 2.0, "exits": [25.0]}
    of_act = {name: changes.pop(name) for name in [*changes] if name in {*fields, "most"}}
    act = Act("x", asked=[], **{**fields, "most": seen(), **of_act})
    return Report(
        acts=[act],
        asked=[READ, DOWN, CUT, *asked],
        boot_seconds=changes.pop("boot_seconds", 2.9),
        release_seconds=changes.pop("release_seconds", 2.9),
        postgresql_down=[(20.0, 21.0)],
        web_killed=[(30.0, 31.0)],
        **changes,
    )


def seen(**more: int) -> dict[str, int]:
    """As much as there may be, but for what is changed."""
    return {"postgresql": 19, "redis": 18, "web": 512, "worker": 512, **more}


def answered(status: int | None, at: float = 10.0, *, retry_after: bool = True) -> Asked:
    """A request that was answered so."""
    return Asked("GET /", at, at + 0.1, status, retry_after)


def test_a_drill_that_went_well_has_broken_nothing() -> None:
    assert a_report().broken() == []


@pytest.mark.parametrize(
    ("report", "promise"),
    [
        (lambda: a_report(lost=["writer0-1: acknowledged, and lost"]), "No acknowledged write"),
        (lambda: a_report(answered(500)), "No 5xx"),
        (lambda: a_report(answered(503)), "No 5xx"),
        (lambda: a_report(answered(500, 20.2)), "No 5xx"),
        (lambda: a_report(answered(503, 20.2, retry_after=False)), "No 5xx"),
        (lambda: a_report(answered(None)), "No request is cut off"),
        (lambda: a_report(answered(404)), "No other answer"),
        (lambda: a_report(exits=[3.0, 25.1]), "Dynos exit"),
        (lambda: a_report(exits=[]), "Dynos exit"),
        (lambda: a_report(boot_seconds=3.1), "Boot"),
        (lambda: a_report(release_seconds=3.1), "Release"),
        (lambda: a_report(answers_after=11.0), "Writes go on"),
        (lambda: a_report(jobs_after=91.0), "Jobs go on"),
        (lambda: a_report(most=seen(postgresql=20)), "PostgreSQL, at most"),
        (lambda: a_report(most=seen(redis=19)), "Redis"),
        (lambda: a_report(most=seen(web=513)), "A web dyno"),
        (lambda: a_report(most=seen(worker=0)), "A worker dyno"),
        (lambda: a_report(faults=["web.1 ended"]), "Nothing else"),
    ],
)
def test_the_judge_finds_what_was_broken(report: Callable[[], Report], promise: str) -> None:
    broken = report().broken()

    assert [each.startswith(promise) for each in broken] == [True], broken
