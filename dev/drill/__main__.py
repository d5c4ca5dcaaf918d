"""bin/drill: a deployment acted out on this machine. Ends with 1 when a promise is broken."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from dev.drill.acts import FULL, SHORT, Drill


def main() -> int:
    """Run a drill in a folder of its own, which stays where something went wrong."""
    parser = argparse.ArgumentParser(prog="bin/drill", description=__doc__)
    parser.add_argument("--short", action="store_true", help="as bin/test does it")
    parser.add_argument("--pipenv", help="the Pipenv that installs what the lock pins")
    options = parser.parse_args()
    build = ["--pipenv", options.pipenv] if options.pipenv else []
    folder = Path(tempfile.mkdtemp(prefix="pushcart-drill-"))
    print(f"Everything lies in {folder}", flush=True)
    report = Drill(SHORT if options.short else FULL, folder, build).run()
    print(f"\n{report}", flush=True)
    if report.broken():
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
