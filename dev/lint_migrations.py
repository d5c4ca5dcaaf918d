"""bin/lint's look at the migrations: their SQL, each apart, before squawk. Nothing is connected to.

`.squawk.toml` says which rules do not count here, and why.
"""

import io
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from flask import Flask
from flask_migrate import upgrade

from api.health import migrations
from wsgi import app as pushcart

SQUAWK = Path(sys.executable).with_name("squawk")
CONFIG = Path(__file__).parent.parent / ".squawk.toml"


def write_sql(app: Flask, folder: Path) -> list[Path]:
    """Write the SQL of each of the app's migrations into a file named after its revision."""
    files = []
    with app.app_context():
        for script in migrations().walk_revisions():
            sql = io.StringIO()
            with redirect_stdout(sql):
                upgrade(revision=f"{script.down_revision or 'base'}:{script.revision}", sql=True)
            files.append(folder / f"{script.revision}.sql")
            files[-1].write_text(sql.getvalue())
    return sorted(files)


def squawk(files: list[Path]) -> int:
    """The status of squawk, which prints what it finds."""
    return subprocess.run([SQUAWK, f"--config={CONFIG}", *files], check=False).returncode


def main() -> int:
    """Lint all migrations."""
    with tempfile.TemporaryDirectory() as folder:
        return squawk(write_sql(pushcart, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
