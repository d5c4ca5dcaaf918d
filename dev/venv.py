"""Makes .venv hold exactly what Pipfile.lock names, and nothing where it already does.

Standard library only, because it runs before anything is installed, by any Python from 3.11 on.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from dev.lock import requirements

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "Pipfile.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "made-from"


def stamp() -> str:
    """Name what .venv is made from: the lock, and its own place, which its scripts hold."""
    return f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {VENV}\n"


def is_current() -> bool:
    """Tell whether .venv is whole, made from this lock, and its Python still runs."""
    if not STAMP.exists() or STAMP.read_text() != stamp():
        return False
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], check=False).returncode == 0


def make(scratch: Path) -> None:
    """Make .venv anew. The stamp comes last, so that an interrupted run is repeated."""
    wanted = stamp()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Making .venv with Python {version} from Pipfile.lock", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pinned = scratch / "requirements.txt"
    pinned.write_text("".join(requirements(json.loads(LOCK.read_text()))))
    pip = [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--require-hashes", "--requirement", str(pinned)], check=True)
    STAMP.write_text(wanted)


def main() -> None:
    """Bring .venv up to date; a second script waits here for the first."""
    scratch = ROOT / ".dev"
    scratch.mkdir(exist_ok=True)
    with (scratch / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            make(scratch)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"Making .venv failed, see above (exit {error.returncode}).")
