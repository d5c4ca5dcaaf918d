"""The platform: config vars, releases and the formation, as the command `heroku` has them."""

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dev.drill.dynos import Dyno
from dev.drill.router import Router


@dataclass(frozen=True)
class Release:
    """A slug with the config vars that it runs with, and what its release command has printed."""

    version: str
    slug: Path
    config: Mapping[str, str]
    said: str


@dataclass
class Heroku:
    """One app."""

    folder: Path
    router: Router
    config: dict[str, str]
    overlap_seconds: float  # of preboot: Heroku lets two releases serve for three minutes
    formation: dict[str, int] = field(default_factory=lambda: {"web": 1, "worker": 0})
    releases: list[Release] = field(default_factory=list)
    dynos: dict[str, Dyno] = field(default_factory=dict)
    leaving: list[Dyno] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)  # seconds of all dynos
    crashed: list[str] = field(default_factory=list)  # dynos that had ended by themselves
    _count: int = 0

    def release(self, slug: Path, *, preboot: bool = True) -> Release:
        """Make a release and run its release command; then its dynos take over.

        Raises AssertionError, with the old one running on, when the command fails.
        """
        version = f"v{len(self.releases) + 1}"
        config = {**self.config, "HEROKU_RELEASE_VERSION": version}
        said, _ = self._dyno("release", slug, config).run()
        release = Release(version, slug, config, said)
        self.releases.append(release)
        self._replace([*self.dynos] or [*self._names()], preboot=preboot)
        return release

    def set_config(self, changes: Mapping[str, str]) -> None:
        """`heroku config:set`: the same slug in a new release, here without preboot."""
        self.config.update(changes)
        self.release(self.releases[-1].slug, preboot=False)

    def rollback(self, release: Release) -> Release:
        """`heroku rollback`: an earlier slug in a new release."""
        return self.release(release.slug)

    def scale(self, kind: str, count: int) -> None:
        """`heroku ps:scale`."""
        self.formation[kind] = count
        wanted = [*self._names()]
        self.start([name for name in wanted if name not in self.dynos])
        self._end([self.dynos.pop(name) for name in [*self.dynos] if name not in wanted])

    def restart(self) -> None:
        """`heroku ps:restart`, and what Heroku does each day: the old end as the new start."""
        self._replace([*self.dynos], preboot=False)

    def kill(self) -> list[str]:
        """End all dynos without a word; returns their names. Heroku would start them again."""
        dynos, self.dynos = self.dynos, {}
        self._look_at(dynos.values())
        for dyno in dynos.values():
            dyno.kill()
        self._route()
        return [*dynos]

    def start(self, names: list[str]) -> None:
        """Start dynos of the newest release, and wait until they are ready."""
        newest = self.releases[-1]
        started = {name: self._dyno(name, newest.slug, newest.config) for name in names}
        self.dynos.update(started)
        for dyno in started.values():
            dyno.wait_until_ready()
            self._route()

    def run(self, kind: str) -> tuple[str, float]:
        """`heroku run` of a line of the Procfile; what it has printed, and its seconds."""
        newest = self.releases[-1]
        return self._dyno(kind, newest.slug, newest.config).run()

    def printed(self) -> list[str]:
        """The names of secrets that stand in some dyno's log."""
        secrets_of_all = {
            (name, urlsplit(value).password or value)
            for release in self.releases
            for name, value in release.config.items()
            if name.endswith(("_URL", "_KEY"))
        }
        logs = "".join(log.read_text(errors="replace") for log in self.folder.glob("*.log"))
        return [f"{name} stands in a log" for name, value in secrets_of_all if value in logs]

    def living(self) -> list[Dyno]:
        """All dynos, those that are about to end too."""
        return [*self.dynos.values(), *self.leaving]

    def _names(self) -> Iterator[str]:
        for kind, count in self.formation.items():
            yield from (f"{kind}.{number}" for number in range(1, count + 1))

    def _dyno(self, name: str, slug: Path, config: Mapping[str, str]) -> Dyno:
        self._count += 1
        return Dyno(name, slug, config, self.folder / f"{self._count:03}-{name}")

    def _replace(self, names: list[str], *, preboot: bool) -> None:
        """Start dynos of the newest release in the place of those of these names."""
        old = [self.dynos.pop(name) for name in names if name in self.dynos]
        if preboot:
            self.leaving = old
            self.start(names)
            time.sleep(self.overlap_seconds if old else 0)
            self.leaving = []
            self._end(old)
        else:
            with ThreadPoolExecutor(1) as ending:
                ended = ending.submit(self._end, old)
                self.start(names)
                ended.result()

    def _end(self, dynos: list[Dyno]) -> None:
        """End them, after the router has heard of it."""
        self._look_at(dynos)
        self._route()
        with ThreadPoolExecutor() as ending:
            self.exits += ending.map(Dyno.end, dynos)

    def _look_at(self, dynos: Iterable[Dyno]) -> None:
        """Note which of them have ended before they are told to."""
        self.crashed += [f"{dyno.name}: {dyno.output()[-1000:]}" for dyno in dynos if dyno.ended]

    def _route(self) -> None:
        """Tell the router where requests go: to web dynos that are ready, and not told to end."""
        self.router.route_to(
            [dyno.port for dyno in self.living() if dyno.kind == "web" and dyno.boot_seconds]
        )


def config_of(slug_or_checkout: Path) -> dict[str, str]:
    """The config vars that app.json makes: generated secrets, and values."""
    declared = json.loads((slug_or_checkout / "app.json").read_text())["env"]
    return {
        name: secrets.token_hex(32) if each.get("generator") == "secret" else each["value"]
        for name, each in declared.items()
        if each.get("required", True) or "value" in each
    }


@contextmanager
def running(app: Heroku) -> Iterator[Heroku]:
    """The app for a block; its dynos end with it."""
    try:
        yield app
    finally:
        app.kill()
