"""Runs a command on a PostgreSQL and a Redis of its own: `python -m bench.servers COMMAND…`.

A process apart, because the app reads its settings once, when it is first imported. The servers
write as safely as in production (fsync is on), into a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dev.services import Postgres, Redis, free_port


def main(command: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder,
        Postgres(Path(folder, "postgres"), free_port()) as postgres,
        Redis(Path(folder, "redis"), free_port()) as redis,
    ):
        postgres.create_database("pushcart")
        environment = {
            **os.environ,
            "DATABASE_URL": postgres.url("pushcart"),
            "REDIS_URL": redis.url,
            "SECRET_KEY": "a-secret-for-the-bench-alone",
            "ADMIN_API_KEY": "a-key-for-the-bench-alone",
            "PUBLIC_READS": "1",
        }
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
