"""What Heroku sells with an app: PostgreSQL and Redis of its smallest plans.

Each behind TLS with a certificate that nobody knows, with passwords that change, and with the
plan's number of connections, which the servers themselves hold their clients to.
"""

import secrets
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import psycopg2
import redis
import trustme
from psycopg2.extras import NamedTupleCursor

from dev.services import ONCE, Postgres, Redis, free_port, reachable
from tests.processes import ROOT, wait_for

PLAN_CONNECTIONS = 20  # of either server
_DATABASE = "shop"
# The drill itself comes without a password; everyone else has to know one.
_ACCESS = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


class KeyValue(Redis):
    """Redis as the plan `mini` has it: nothing on disk, nothing evicted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port(), durable=False)
        self.password = secrets.token_hex(16)

    def command(self) -> list[str]:
        """The command line, with the limits of the plan."""
        limits = ["--maxclients", str(PLAN_CONNECTIONS), "--maxmemory", "25mb"]
        return [*super().command(), *limits, "--requirepass", self.password]

    def client(self) -> redis.Redis:
        """A client that knows the password."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=2, retry=ONCE)

    def reset_password(self) -> None:
        """Take another password, and hang up on whoever knew the one before."""
        password = secrets.token_hex(16)
        with closing(self.client()) as client:
            client.config_set("requirepass", password)
            self.password = password
            client.client_kill_filter(_type="normal", skipme=True)


class Addons:
    """Both servers, and the TLS in front of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres", free_port())
        self.redis = KeyValue(folder / "redis")
        self.users: list[str] = []  # of PostgreSQL, the newest last
        self._ports = {"postgresql": free_port(), "redis": free_port()}
        self._tls: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start all of it."""
        try:
            self.postgres.start()
            self.redis.start()
            self._start_tls()
            self._make_database()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all of it."""
        if self._tls is not None:
            self._tls.terminate()
            self._tls.wait()
        self.redis.stop()
        self.postgres.stop()

    def _start_tls(self) -> None:
        certificate = self.folder / "certificate.pem"
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            str(certificate)
        )
        servers = {"postgresql": self.postgres.port, "redis": self.redis.port}
        services = [f"{kind}:{port}:{servers[kind]}" for kind, port in self._ports.items()]
        command = [sys.executable, "-m", "dev.drill.tls", str(certificate), *services]
        with (self.folder / "tls.log").open("wb") as log:
            self._tls = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        for port in self._ports.values():
            wait_for("TLS", partial(reachable, "127.0.0.1", port))

    def _make_database(self) -> None:
        (self.postgres.data / "pg_hba.conf").write_text(_ACCESS)
        self.postgres.ask("SELECT pg_reload_conf()")
        self.postgres.ask("CREATE ROLE shop_owner NOLOGIN")
        self.postgres.ask(
            f"CREATE DATABASE {_DATABASE} OWNER shop_owner CONNECTION LIMIT {PLAN_CONNECTIONS}"
        )

    def new_credentials(self) -> dict[str, str]:
        """Make another user of PostgreSQL and another password of Redis; the URLs with them.

        The user before can go on until `revoke`; who knows Redis' password before is hung up on.
        """
        user, password = f"u{secrets.token_hex(4)}", secrets.token_hex(16)
        # All users act as the owner, so that the tables of one are those of the next.
        self.postgres.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE shop_owner")
        self.postgres.ask(f"ALTER ROLE {user} SET role = shop_owner")
        self.redis.reset_password()
        known = f"{user}:{password}@127.0.0.1:{self._ports['postgresql']}"
        self.users.append(user)
        return {
            "DATABASE_URL": f"postgres://{known}/{_DATABASE}",
            "REDIS_URL": f"rediss://:{self.redis.password}@127.0.0.1:{self._ports['redis']}",
        }

    def revoke(self) -> None:
        """Take all users but the newest away, with their connections."""
        while len(self.users) > 1:
            user = self.users.pop(0)
            self.postgres.ask(f"ALTER ROLE {user} NOLOGIN")
            self.postgres.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s",
                user,
            )

    def rows(self, sql: str, *values: object) -> list[Any]:
        """The rows of a query of the shop's database."""
        with closing(psycopg2.connect(self.postgres.url(_DATABASE))) as connection:
            cursor: Any = connection.cursor(cursor_factory=NamedTupleCursor)
            cursor.execute(sql, values)
            return list(cursor.fetchall())
