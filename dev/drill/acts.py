"""What is done to the shop while its clients are at work, one thing after the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from dev.drill.addons import Addons
from dev.drill.heroku import Heroku, config_of, running
from dev.drill.judge import Act, Report
from dev.drill.load import Load
from dev.drill.repository import Checkout
from dev.drill.router import Router
from dev.drill.watch import Watch
from tests.processes import wait_for

_IN_HAND = "SELECT id, attempt FROM jobs WHERE status = 'running'"
_FILE = "handle,name\nprobe,Probe\n"


@dataclass(frozen=True)
class Extent:
    """How much of it: in short for bin/test, in full for bin/drill."""

    pause_seconds: float  # of each client, before each request
    readers: int
    writers: int
    importers: int
    overlap_seconds: float
    calm_seconds: float  # between two acts
    config: dict[str, str]


SHORT = Extent(0.05, 1, 1, 1, 1.0, 0.2, {"JOB_LEASE_SECONDS": "2", "JOB_SWEEP_SECONDS": "0.5"})
FULL = Extent(0.02, 3, 3, 2, 15.0, 5.0, {})


class Drill:
    """The shop, deployed and under load, and what is found out about it."""

    def __init__(self, extent: Extent, folder: Path, build: list[str]) -> None:
        self.report = Report()
        self._extent = extent
        slugs = folder / "slugs"
        slugs.mkdir()
        self._checkout = Checkout(folder, slugs, build)
        self._folder = folder

    def run(self) -> Report:
        """All acts; what they have found."""
        with ExitStack() as started:
            self._addons = started.enter_context(Addons(self._folder))
            router = started.enter_context(Router())
            config = {
                **config_of(self._checkout.folder),
                **self._addons.new_credentials(),
                **self._extent.config,
            }
            app = Heroku(self._folder / "dynos", router, config, self._extent.overlap_seconds)
            self._app = started.enter_context(running(app))
            self._load = Load(router.url, self._folder, self._extent.pause_seconds)
            self._first_deployment()
            self._watch = started.enter_context(Watch(self._addons, app))
            extent = self._extent
            with self._load.running(
                self._admin_key, extent.readers, extent.writers, extent.importers
            ):
                for title, act in self._acts():
                    _say(title)
                    self._perform(title, act)
            self._wait_for_quiet()
            app.kill()
            self.report.faults += [*self._load.faults, *app.crashed, *app.printed()]
            self.report.asked = self._load.asked
            self.report.lost = self._load.lost(self._addons)
        return self.report

    def _acts(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "nothing, for comparison", lambda: time.sleep(1)
        yield "git push, beside the old release", self._deploy_again
        yield "worker 1 → 3 → 0 → 1", self._scale
        yield "other credentials", self._rotate
        yield "rollback", self._roll_back
        yield "PostgreSQL restarts", self._restart_postgresql
        yield "Redis restarts", self._addons.redis.restart
        yield "SIGTERM to all processes, twice", self._app.restart
        yield "SIGKILL of all processes", self._kill

    @property
    def _admin_key(self) -> str:
        return self._app.config["ADMIN_API_KEY"]

    def _first_deployment(self) -> None:
        """On Heroku it comes without a worker, which `ps:scale` then starts."""
        _say("git push heroku main")
        self._app.release(self._checkout.push())
        self.report.boot_seconds = self._app.dynos["web.1"].boot_seconds
        _, self.report.release_seconds = self._app.run("release")
        self._app.scale("worker", 1)

    def _deploy_again(self) -> None:
        self._migration = self._checkout.add_migration()
        self._app.release(self._checkout.push())

    def _scale(self) -> None:
        self._app.scale("worker", 3)
        self._app.scale("worker", 0)
        with self._load.client(self._admin_key) as client:
            self._ask_for_import(client)
            wait_for("/status says that no worker lives", partial(_warns_of_no_worker, client), 60)
        self._app.scale("worker", 1)

    def _rotate(self) -> None:
        before = self._admin_key
        changes = config_of(self._checkout.folder)
        del changes["SECRET_KEY"]  # cursors that clients hold are signed by it
        self._app.set_config({**changes, **self._addons.new_credentials()})
        self._addons.revoke()
        headers = {"Authorization": f"Bearer {before}"}
        answer = httpx.get(f"{self._app.router.url}/status", headers=headers, trust_env=False)
        if answer.status_code != HTTPStatus.UNAUTHORIZED:
            self.report.faults.append("The admin key before the rotation is still accepted")

    def _roll_back(self) -> None:
        release = self._app.rollback(self._app.releases[0])
        if f"ahead of this release, at {self._migration}" not in release.said:
            self.report.faults.append(f"The rollback did not see a newer database: {release.said}")

    def _restart_postgresql(self) -> None:
        began = time.monotonic()
        self._addons.postgres.restart()
        self.report.postgresql_down.append((began, time.monotonic()))

    def _kill(self) -> None:
        began = time.monotonic()
        killed = self._app.kill()
        self.report.web_killed.append((began, time.monotonic()))
        self._app.start(killed)

    def _perform(self, title: str, act: Callable[[], None]) -> None:
        """Do it, and see how long it takes until all goes on as before."""
        asked, exits = len(self._load.asked), len(self._app.exits)
        in_hand = self._addons.rows(_IN_HAND)
        self._watch.take()
        began = time.monotonic()
        act()
        done = time.monotonic()
        self._write()
        written = time.monotonic()
        wait_for("jobs in hand go on", lambda: self._have_gone_on(in_hand), 120)
        self._import(title)
        worked = time.monotonic()
        time.sleep(self._extent.calm_seconds)
        self.report.acts.append(
            Act(
                title,
                done - began,
                self._load.asked[asked:],
                written - done,
                worked - done,
                self._app.exits[exits:],
                self._watch.take(),
            )
        )

    def _have_gone_on(self, in_hand: Sequence[Any]) -> bool:
        """Whether none of them is where it was: ended, handed back, or in another attempt."""
        now = {(row.id, row.attempt) for row in self._addons.rows(_IN_HAND)}
        return not now & {(row.id, row.attempt) for row in in_hand}

    def _write(self) -> None:
        """A write, as soon as it is acknowledged."""
        with self._load.client(self._admin_key) as client:
            wait_for("a write is acknowledged", partial(_is_written, client), 60)

    def _import(self, title: str) -> None:
        """A small job, to its end."""
        with self._load.client(self._admin_key) as client:
            job = self._ask_for_import(client)
            wait_for(f"the import after {title} ends", partial(_has_succeeded, client, job), 120)

    def _ask_for_import(self, client: httpx.Client) -> str:
        headers = {"Content-Type": "text/csv"}
        answer = client.post("/api/v1/imports", content=_FILE, headers=headers).raise_for_status()
        return f"/api/v1/jobs/{answer.json()['id']}"

    def _wait_for_quiet(self) -> None:
        unfinished = "SELECT id FROM jobs WHERE finished_at IS NULL"
        wait_for("all jobs end", lambda: not self._addons.rows(unfinished), 180)


def _is_written(client: httpx.Client) -> bool:
    try:
        return client.put("/api/v1/products/probe", json={"name": "Probe"}).is_success
    except httpx.TransportError:
        return False  # it is counted


def _has_succeeded(client: httpx.Client, job: str) -> bool:
    try:
        answer = client.get(job)
    except httpx.TransportError:
        return False
    return answer.is_success and answer.json()["status"] == "succeeded"


def _warns_of_no_worker(client: httpx.Client) -> bool:
    return "no worker lives" in client.get("/status").text


def _say(what: str) -> None:
    print(f"-----> {what}", flush=True)
