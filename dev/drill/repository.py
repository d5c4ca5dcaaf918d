"""The deployer's side: a checkout with a remote `heroku`, and the repository at its other end."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import ROOT

_GIT = shutil.which("git") or "git"
_MIGRATION = '''"""Another column, as a release after this one may have."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("drilled", sa.Text()))


def downgrade() -> None:
    op.drop_column("products", "drilled")
'''


class PushRefused(Exception):
    """The build has failed; the message is what the push has printed."""


class Checkout:
    """A copy of what lies here, committed or not: nobody's own repository is touched."""

    def __init__(self, folder: Path, slugs: Path, build: Sequence[str]) -> None:
        """Copy it, and make the remote; `build` are the options of dev/drill/build.py."""
        self.folder = folder / "checkout"
        self._slugs = slugs
        for name in _git(ROOT, "ls-files", "-z", "-co", "--exclude-standard").split("\0"):
            source, copy = ROOT / name, self.folder / name
            if source.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
        remote = folder / "heroku.git"
        _git(folder, "init", "--quiet", "--bare", str(remote))
        command = [sys.executable, "-m", "dev.drill.build", *build, str(remote), str(slugs)]
        hook = remote / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(command)}\n")
        hook.chmod(0o755)
        _git(self.folder, "init", "--quiet", "--initial-branch=main")
        _git(self.folder, "remote", "add", "heroku", str(remote))
        self.commit("What is to be deployed")

    def commit(self, subject: str) -> None:
        """Commit all there is."""
        _git(self.folder, "add", "--all", "--force")
        _git(self.folder, "commit", "--quiet", "--message", subject)

    def add_migration(self) -> str:
        """Commit a migration as a later release may bring it; returns its revision."""
        versions = self.folder / "migrations" / "versions"
        before = max(path.name[:4] for path in versions.glob("[0-9]*.py"))
        number = f"{int(before) + 1:04}"
        migration = _MIGRATION.format(number=number, before=before)
        (versions / f"{number}_drill.py").write_text(migration)
        self.commit("Add a column")
        return number

    def push(self) -> Path:
        """`git push heroku main`; returns the slug that was built. Raises PushRefused."""
        try:
            _git(self.folder, "push", "heroku", "main")
        except subprocess.CalledProcessError as error:
            raise PushRefused(error.stderr) from None
        return self._slugs / _git(self.folder, "rev-parse", "HEAD").strip()


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; no setting of the person at the terminal counts."""
    person = {"NAME": "drill", "EMAIL": "drill@localhost"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **{f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER")
           for name, value in person.items()},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    done = subprocess.run(
        [_GIT, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout
