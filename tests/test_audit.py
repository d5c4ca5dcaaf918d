"""`bin/audit`: what fails it, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from dev.audit import audit
from dev.lock import packages

FAULTY = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
SOUND: dict[str, Any] = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


def stand_in(folder: Path, script: str) -> str:
    """A program in pip-audit's place; `$report` is where its report goes."""
    program = folder / "pip-audit"
    program.write_text(
        f'#!/bin/sh\nreport="${{@: -1}}"\n{script}\n'.replace("/bin/sh", "/bin/bash")
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ([SOUND], 0, "audit: 1 of 1 packages looked up, 0 findings"),
        ([SOUND, UNKNOWN], 0, "audit: 1 of 2 packages looked up, 0 findings"),
        ([FAULTY, SOUND], 1, "a 1: CVE-1, mended by 2"),
        ([UNKNOWN], 0, "audit: skipped, for its database cannot be asked: the database knows none"),
    ],
)
def test_a_finding_fails_and_silence_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: Any, status: int, said: str
) -> None:
    report = json.dumps({"dependencies": found})

    assert audit(stand_in(tmp_path, f"echo '{report}' > $report; exit {status}")) == status

    assert said in capsys.readouterr().out


def test_without_its_database_it_is_skipped_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(stand_in(tmp_path, "echo Traceback >&2; echo no route >&2; exit 1")) == 0
    assert audit(str(tmp_path / "nothing")) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "audit: skipped, for its database cannot be asked: no route",
        "audit: skipped, for its database cannot be asked: FileNotFoundError",
    ]


def test_every_package_of_the_lock_is_looked_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.dumps({"dependencies": [SOUND]})
    audit(stand_in(tmp_path, f"cp $2 {tmp_path}/listed; echo '{report}' > $report"))

    lock = json.loads((Path(__file__).parent.parent / "Pipfile.lock").read_text())
    listed = (tmp_path / "listed").read_text().splitlines()
    assert len(listed) == len(packages(lock)) > 50
    assert all("--hash=sha256:" in line for line in listed)
