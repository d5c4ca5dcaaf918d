"""What Heroku does with a push, as the hook of the repository: from a commit to a slug.

The steps are those of the slug compiler and of the Python buildpack (v351): files named in
`.slugignore` go first, one lock file has to be there, and `pipenv install --deploy` installs what
it pins, in an environment that holds nothing of this machine but its way to the packages. A push
whose build fails is refused.

A slug is a folder: `app` with the code, `python` with what runs it.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

_LOCKS = ("Pipfile.lock", "requirements.txt", "poetry.lock", "uv.lock")
# The machine's way to the packages. Not among it are pip's settings: bin/.venv.sh says why.
_PASSED_ON = (
    *("PIPENV_PYPI_MIRROR", "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)


def build(repository: str, revision: str, slug: Path, pipenv: str | None) -> None:
    """Build a slug; without `pipenv`, its Python is the one that runs this. Raises SystemExit."""
    app = slug / "app"
    app.mkdir(parents=True)
    git = ["git", f"--git-dir={repository}", "archive", revision]
    packed = subprocess.run(git, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(app, filter="data")
    for path in [*ignored(app)]:
        _say(f"Deleting {path.relative_to(app)} for .slugignore")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    locks = [name for name in _LOCKS if (app / name).exists()]
    if len(locks) != 1 or not (app / "Procfile").exists():
        sys.exit(f"! Neither more nor less than one lock, and a Procfile: {locks}")
    asked, here = (app / ".python-version").read_text().strip(), "{}.{}".format(*sys.version_info)
    _say(f"Using Python {here}, where .python-version says {asked}")
    python = _installed(app, slug.parent, pipenv) if pipenv else Path(sys.prefix)
    (slug / "python").symlink_to(python)


def ignored(app: Path) -> Iterator[Path]:
    """What `.slugignore` names: with a slash before it, at the top, else anywhere."""
    for line in (app / ".slugignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            yield from app.glob(pattern[1:] if pattern[0] == "/" else f"**/{pattern}")


def _installed(app: Path, cache: Path, pipenv: str) -> Path:
    """A Python with what the lock pins, the same one for the same lock."""
    python = cache / f"python-{hashlib.sha256((app / 'Pipfile.lock').read_bytes()).hexdigest()}"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "HOME": str(cache),
        "PATH": f"{python}/bin:{os.defpath}",
        "LC_ALL": "C.UTF-8",
        "VIRTUAL_ENV": str(python),
        "PIP_CONFIG_FILE": os.devnull,
        "PIPENV_SYSTEM": "1",
        "PIPENV_VERBOSITY": "-1",
        "PIPENV_NOSPIN": "1",
    }
    _say("Installing dependencies using 'pipenv install --deploy'")
    subprocess.run([pipenv, "install", "--deploy"], cwd=app, env=environment, check=True)
    return python


def _say(what: str) -> None:
    print(f"-----> {what}", flush=True)


def main() -> None:
    """Build what has been pushed to `main`: git tells of it on standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipenv")
    parser.add_argument("repository")
    parser.add_argument("slugs", type=Path)
    options = parser.parse_args()
    for line in sys.stdin:
        _, revision, ref = line.split()
        if ref == "refs/heads/main":
            build(options.repository, revision, options.slugs / revision, options.pipenv)


if __name__ == "__main__":
    main()
