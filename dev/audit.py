"""bin/audit: looks up the packages of Pipfile.lock in the database of known vulnerabilities.

Fails for one that is found; a database that cannot be asked fails nothing, and is told in a line.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dev.lock import requirements

LOCK = Path(__file__).parent.parent / "Pipfile.lock"
_SECONDS = 300


def audit(program: str) -> int:
    """Ask pip-audit, which lies at `program`; returns the status to end with."""
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        listed.write_text("".join(requirements(json.loads(LOCK.read_text()))))
        command = [program, "--requirement", str(listed), "--require-hashes", "--disable-pip"]
        command += ["--vulnerability-service", "osv", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(report)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return _skipped(type(error).__name__)
        if not report.exists():  # its status is the same as for a finding
            return _skipped((done.stderr.strip() or "no answer").splitlines()[-1])
        return _judged(json.loads(report.read_text())["dependencies"])


def _judged(packages: list[dict[str, Any]]) -> int:
    looked_up = [package for package in packages if "skip_reason" not in package]
    if not looked_up:
        return _skipped("the database knows none of the packages")
    found = [(package, fault) for package in looked_up for fault in package["vulns"]]
    for package, fault in found:
        mended = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {fault['id']}, mended by {mended}")
    print(f"audit: {len(looked_up)} of {len(packages)} packages looked up, {len(found)} findings")
    return 1 if found else 0


def _skipped(reason: str) -> int:
    print(f"audit: skipped, for its database cannot be asked: {reason:.200}")
    return 0


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1]))
