"""The commands of README and docs/operations.md bring a shop up, line by line, under honcho."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest

from config import settings
from dev.drill.repository import Checkout
from dev.services import free_port
from tests.processes import ROOT, wait_for

DATABASE = "deployed"
SERVER = settings.database_url.replace("postgresql+psycopg2:", "postgres:").rpartition("/")[0]


def commands() -> list[str]:
    """The first block of the page's section Deploy."""
    deploy = (ROOT / "docs" / "operations.md").read_text().partition("## Deploy\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", deploy.partition("\n## ")[0], re.DOTALL)
    return [line for line in block.splitlines() if line]


def test_the_readme_has_the_same_commands() -> None:
    readme = (ROOT / "README.md").read_text().partition("## Deploying to Heroku\n")[2]

    shown = re.findall(r"^    (.+)$", readme.partition("\n## ")[0], re.MULTILINE)

    plain = [command.removesuffix(" --wait") for command in commands()]
    assert [command.removesuffix(" --wait") for command in shown[: len(plain)]] == plain
    assert len(plain) == 6


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a deployer: a checkout with its remote, and a `heroku` on the PATH."""
    with closing(psycopg2.connect(f"{SERVER}/postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
            try:
                yield deployer(tmp_path)
            finally:
                if (tmp_path / "pid").exists():
                    end(int((tmp_path / "pid").read_text()))
                cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def deployer(folder: Path) -> dict[str, str]:
    (folder / "slugs").mkdir()
    Checkout(folder, folder / "slugs", [])
    program = folder / "bin" / "heroku"
    program.parent.mkdir()
    stand_in = ROOT / "tests" / "heroku_by_honcho.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    after_push = folder / "heroku.git" / "hooks" / "post-receive"
    after_push.write_text("#!/bin/sh\nexec heroku release\n")
    for script in (program, after_push):
        script.chmod(0o755)
    return {
        "SHOP": str(folder),
        "PORT": str(free_port()),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "ADDON_DATABASE_URL": f"{SERVER}/{DATABASE}",
        "ADDON_REDIS_URL": settings.redis_url.removesuffix("/0") + "/7",  # nobody else's
    }


def end(pid: int) -> None:
    """End honcho, and with it what it has started."""
    honcho = psutil.Process(pid)
    processes = [honcho, *honcho.children(recursive=True)]
    honcho.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=25)
    for process in alive:
        process.kill()
    assert not alive


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_line_by_line_they_bring_a_shop_up(shop: dict[str, str]) -> None:
    folder = Path(shop["SHOP"])
    for command in commands():
        done = deploy(command, shop)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    made = deploy(
        "heroku run -- flask --app wsgi keys create --name till --scope products:write"
        " --scope jobs:read --scope jobs:write",
        shop,
    )
    key = {"Authorization": f"Bearer {made.stdout.strip()}"}

    with httpx.Client(base_url=f"http://127.0.0.1:{shop['PORT']}", headers=key) as client:
        wait_for("it is ready", lambda: is_ready(client))
        job = client.post(
            "/api/v1/imports",
            content=(ROOT / "dev" / "sample.csv").read_bytes(),
            headers={"Content-Type": "text/csv"},
        )
        wait_for("the import ends", lambda: client.get(job.headers["Location"]).json()["ready"])
        assert client.get("/api/v1/products/corner-blend").status_code == 200
        assert not (folder / "slugs").joinpath("app", ".env").exists()


def deploy(command: str, shop: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=Path(shop["SHOP"]) / "checkout",
        env=shop,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False
