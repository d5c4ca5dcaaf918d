"""Stands in for the command `heroku`: the same commands, with honcho in the place of dynos.

In the folder SHOP: `env` holds the config vars, `slugs` what the pushes have built. An add-on sets
what the test says of it, in ADDON_DATABASE_URL and ADDON_REDIS_URL.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

SHOP = Path(os.environ["SHOP"])
CONFIG = SHOP / "env"
HONCHO = Path(sys.executable).with_name("honcho")


def slug() -> Path:
    """The app as it was built last."""
    return max((SHOP / "slugs").iterdir(), key=lambda path: path.stat().st_mtime) / "app"


def honcho(*arguments: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """Start honcho on the slug, with the config vars and nothing of this machine."""
    path = f"{slug().parent / 'python' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "PORT": os.environ["PORT"], "HOME": str(SHOP)}
    command = [str(HONCHO), "--env", str(CONFIG), *arguments]
    return subprocess.Popen(command, cwd=slug(), env=environment, stdout=output, stderr=output)


def main(command: str, *arguments: str) -> int:
    """Do what `heroku COMMAND …` would."""
    if command == "create":
        return 0  # the repository is there
    if command == "addons:create":
        kind = arguments[0].partition(":")[0]
        name = {"heroku-postgresql": "DATABASE_URL", "heroku-redis": "REDIS_URL"}[kind]
        return main("config:set", f"{name}={os.environ[f'ADDON_{name}']}")
    if command == "config:set":
        with CONFIG.open("a") as file:
            file.writelines(f"{setting}\n" for setting in arguments)
        return 0
    if command == "release":  # what a push does by itself
        return honcho("start", "release").wait()
    if command == "run":
        # What is not behind -- is heroku's own: it takes --app for the name of an app.
        if arguments[0] != "--":
            raise SystemExit("Couldn't find that app.")
        return honcho("run", *arguments[1:]).wait()
    if command == "ps:scale":
        counts = dict(each.split("=") for each in arguments)
        with (SHOP / "log").open("wb") as log:
            process = honcho("start", "--concurrency", ",".join(arguments), *counts, output=log)
        (SHOP / "pid").write_text(str(process.pid))
        return 0
    raise NotImplementedError(command)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
