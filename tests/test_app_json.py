"""app.json: what the Heroku Button, review apps and Heroku CI make of it is a shop that starts."""

import json
import os
import re
import shlex

import pytest
from flask import Flask

import config
from dev.drill.build import ignored
from dev.drill.dynos import commands
from dev.drill.heroku import config_of
from tests.processes import ROOT

APP = json.loads((ROOT / "app.json").read_text())
# What each add-on sets.
ADDONS = {
    "heroku-postgresql": {"DATABASE_URL": "postgres://u:p@host/shop"},
    "heroku-redis": {"REDIS_URL": "rediss://:p@host:6380"},
}


def test_its_variables_and_addons_are_all_that_a_dyno_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in config_variables():
        monkeypatch.delenv(name, raising=False)
    for addon in APP["addons"]:
        for name, value in ADDONS[addon["plan"].partition(":")[0]].items():
            monkeypatch.setenv(name, value)
    for name, value in config_of(ROOT).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DYNO", "web.1")

    settings = config.load()

    assert settings.admin_api_key
    assert settings.secret_key != settings.admin_api_key


def config_variables() -> set[str]:
    """Every variable that config.py reads."""
    return set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config.py").read_text()))


def test_it_names_no_variable_that_nothing_reads() -> None:
    assert {*APP["env"]} <= config_variables()


def test_every_process_that_runs_has_its_dyno() -> None:
    assert {*APP["formation"]} == {*commands(ROOT)} - {"release"}


def test_its_scripts_can_be_run(app: Flask) -> None:
    review = shlex.split(APP["environments"]["review"]["scripts"]["postdeploy"])
    (script,) = shlex.split(APP["environments"]["test"]["scripts"]["test"])

    assert review[:3] == ["flask", "--app", "wsgi"]
    assert app.test_cli_runner().invoke(args=review[3:]).exit_code == 0
    assert os.access(ROOT / script, os.X_OK)


def test_what_a_test_run_needs_is_not_ignored() -> None:
    """Heroku CI applies `.slugignore` too (github.com/heroku/heroku-ci, issue 39)."""
    gone = {path.relative_to(ROOT).parts[0] for path in ignored(ROOT) if ".venv" not in path.parts}

    assert gone.isdisjoint(
        {"bin", "dev", "docs", "migrations", "tests", "Pipfile.lock", "README.md"}
    )
