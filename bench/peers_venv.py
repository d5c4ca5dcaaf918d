"""Makes the peers' own virtual environment hold what bench/peers/requirements.txt names."""

import hashlib
import subprocess
import sys

from tests.processes import ROOT

REQUIREMENTS = ROOT / "bench" / "peers" / "requirements.txt"
VENV = ROOT / ".dev" / "bench-peers"
PROGRAMS = VENV / "bin"
STAMP = VENV / "made-from"


def make() -> None:
    """Make it unless it is current. The stamp comes last: an interrupted run is repeated."""
    # Its scripts hold its place, and its packages were built for one Python.
    wanted = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {VENV} {sys.version}"
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print(f"Installing the peers into {VENV.relative_to(ROOT)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [str(PROGRAMS / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--requirement", str(REQUIREMENTS)], check=True)
    STAMP.write_text(wanted)
