"""The README says what is true: its walk is walked, and its places exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from config import settings
from models import db
from tests.processes import ROOT, Web, Worker

README = (ROOT / "README.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_walk_works(app: Flask, web: Web, worker: Worker) -> None:
    with app.app_context():  # as on a fresh machine, where bin/run has imported the sample
        db.session.execute(text("TRUNCATE products, jobs, webhooks RESTART IDENTITY CASCADE"))
        db.session.commit()
    (walk,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    walk = walk.replace("http://127.0.0.1:5000", web.url)
    walk = walk.replace("local-admin-key-not-for-production", settings.admin_api_key)
    setting, rest = walk.split("# Anyone reads", 1)
    first_import = re.search(r"curl -i -X POST .*?sample\.csv\n", rest, re.DOTALL)
    assert first_import is not None
    strict = 'curl() { command curl -sS --fail-with-body -w "%{http_code}\\n" "$@"; }\n'
    wait = "until curl $API/products/corner-blend >/dev/null 2>&1; do sleep 0.1; done\n#"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", strict + setting + first_import[0] + wait + rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    statuses = re.findall(r"^.*?(\d{3})$", done.stdout, re.MULTILINE)
    assert {"200", "201", "202", "204"} <= set(statuses)
    assert '"price":"3.80"' in done.stdout
    assert '"webhook.test"' in done.stdout


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_place_named_exists(document: str) -> None:
    content = (ROOT / document).read_text()
    linked = re.findall(r"\]\(([^)#:]+)\)", content)
    quoted = re.findall(r"`((?:[a-z.]+/)+[a-z_]*(?:\.[a-z]+)?|[a-z_]+\.py)`", content)
    places = [*linked, *(place for place in quoted if not place.startswith(".venv"))]

    assert len(places) > 3
    missing = [place for place in places if not _exists(place)]
    assert missing == []


def _exists(place: str) -> bool:
    """From the root, or from the folder that the sentence is about."""
    bases = ("", "api", "catalog", "catalog/formats")
    return any((ROOT / base / place).exists() for base in bases)


def test_every_setting_is_read_in_one_place() -> None:
    """Only config.py reads the environment of the app; gunicorn's PORT is Heroku's own."""
    app_code = [
        path
        for folder in ("access", "api", "catalog", "jobs", "notify")
        for path in (ROOT / folder).rglob("*.py")
    ] + [
        Path(ROOT, name)
        for name in ("models.py", "schemas.py", "values.py", "events.py", "tasks.py")
    ]

    assert [path.name for path in app_code if "os.environ" in path.read_text()] == []
