"""Schemathesis asks the server for everything that its document promises, with every check.

`tests/schemathesis.toml` says how, `tests/schemathesis_hooks.py` what no schema can say.
"""

import re
import subprocess
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.openapi.examples import EXAMPLES
from tests.processes import BIN, ROOT, Web
from tests.stage import ADMIN, created

MAX_EXAMPLES = 10  # for each route, beside those that cover each keyword of the schemas


@pytest.mark.timeout(600)  # about a minute where nothing else runs
def test_the_server_keeps_what_its_document_promises(
    app: Flask, admin: FlaskClient, tmp_path: Path
) -> None:
    created(admin, **EXAMPLES["ProductInput"]["with variants"])  # of which they all speak

    with Web(tmp_path, RATE_LIMIT="0") as web:
        done = subprocess.run(
            [
                BIN / "schemathesis", "--config-file=tests/schemathesis.toml",
                "run", f"{web.url}/openapi.json", f"--max-examples={MAX_EXAMPLES}", "--workers=2",
                f"--header=Authorization: {ADMIN['Authorization']}", "--no-color",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    selected = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert selected is not None
    assert len(set(selected.groups())) == 1, done.stdout
    assert done.stdout.count("✅") >= 4, done.stdout  # examples, coverage, fuzzing, stateful
