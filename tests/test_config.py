"""Settings: typed, loud on a bad value, and from `.env` only on a developer's machine."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values
from environs import EnvError
from sqlalchemy import make_url

import config
from tests.processes import ROOT

needs_env_file = pytest.mark.skipif(
    not (ROOT / ".env").exists(), reason=".slugignore takes it from Heroku CI"
)


def run(*command: str, without: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
    """The status and the output of a command in the checkout, in another environment."""
    merged = {**os.environ, **environment}
    kept = {name: value for name, value in merged.items() if name not in without}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://host/shop"),
        ("DATABASE_URL", "postgresqlx://host/shop"),
        ("DATABASE_URL", ""),
        ("REDIS_URL", "http://host"),
        ("REDIS_URL", ""),
        ("SECRET_KEY", "short"),
        ("ADMIN_API_KEY", "short"),
        ("PUBLIC_READS", "maybe"),
        ("REQUIRE_IF_MATCH", "sometimes"),
        ("SHOP_CURRENCY", "usd"),
        ("SHOP_CURRENCY", "DOLLAR"),
        ("MAX_BODY_BYTES", "1 MB"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_IMPORT_BYTES", "-1"),
        ("JOB_LEASE_SECONDS", "0"),
        ("JOB_LEASE_SECONDS", "soon"),
        ("JOB_SWEEP_SECONDS", "0.1"),
        ("JOB_RETENTION_DAYS", "0"),
        ("JOB_RETENTION_DAYS", "ever"),
        ("FILE_RETENTION_DAYS", "0"),
        ("FILE_RETENTION_DAYS", "nan"),
        ("EVENT_RETENTION_DAYS", "0"),
        ("WEBHOOKS_ALLOW_PRIVATE", "some"),
        ("SHOP_NAME", " "),
        ("SHOP_NAME", "a\nb"),
        ("SHOP_EMAIL", "nobody"),
        ("SHOP_EMAIL", "a@b, c@d"),
        ("MAIL_FROM", ""),
        ("MAIL_FROM", "a@b\nBcc: c@d"),
        ("MAIL_URL", ""),
        ("MAIL_URL", "http://mail"),
        ("MAIL_URL", "smtp://"),
        ("MAIL_URL", "smtp://host:mail"),
        ("MAIL_URL", "smtp://[host"),
        ("LOW_STOCK", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("RATE_LIMIT", "-1"),
        ("RATE_LIMIT", "many"),
        ("RATE_LIMIT_VISITORS", "-1"),
        ("TRUST_FORWARDED_FOR", "maybe"),
        ("LOG_FORMAT", "xml"),
        ("SLOW_REQUEST_MS", "-1"),
        ("CORS_ORIGINS", "shop.example"),
        ("CORS_ORIGINS", "https://shop.example/"),
        ("CORS_ORIGINS", "https://shop.example, https://"),
        ("SENTRY_DSN", "shop"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(EnvError, match=name):
        config.load()


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "SECRET_KEY"])
def test_what_has_no_default_must_be_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)

    with pytest.raises(EnvError, match=name):
        config.load()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
@pytest.mark.parametrize("rest", ["u:p%40@host:5432/shop?sslmode=require", "/shop", "host"])
def test_the_database_url_names_the_driver(
    monkeypatch: pytest.MonkeyPatch, scheme: str, rest: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://{rest}")

    url = config.load().database_url

    assert url == f"postgresql+psycopg2://{rest}"
    assert make_url(url).drivername == "postgresql+psycopg2"


def test_there_is_no_admin_key_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADMIN_API_KEY")

    assert config.load().admin_api_key == ""


@pytest.mark.parametrize(
    ("sent", "for_keys", "for_visitors"),
    [
        ({}, 6000, 600),
        ({"RATE_LIMIT": "5"}, 5, 1),
        ({"RATE_LIMIT": "0"}, 0, 0),
        ({"RATE_LIMIT": "50", "RATE_LIMIT_VISITORS": "0"}, 50, 0),
        ({"RATE_LIMIT": "0", "RATE_LIMIT_VISITORS": "7"}, 0, 7),
    ],
)
def test_visitors_have_a_tenth_of_the_limit_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch, sent: dict[str, str], for_keys: int, for_visitors: int
) -> None:
    monkeypatch.delenv("RATE_LIMIT")
    monkeypatch.delenv("RATE_LIMIT_VISITORS")
    for name, value in sent.items():
        monkeypatch.setenv(name, value)

    loaded = config.load()

    assert (loaded.rate_limit, loaded.rate_limit_visitors) == (for_keys, for_visitors)


def test_only_a_dyno_stands_behind_a_router_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = config.load().trust_forwarded_for
    on_a_dyno_of_its_own(monkeypatch)
    on_a_dyno = config.load().trust_forwarded_for
    monkeypatch.setenv("TRUST_FORWARDED_FOR", "0")

    assert (here, on_a_dyno, config.load().trust_forwarded_for) == (False, True, False)


def on_a_dyno_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what Heroku does, with secrets as somebody has generated them."""
    monkeypatch.setenv("DYNO", "web.1")
    monkeypatch.setenv("SECRET_KEY", secrets.token_hex(32))
    monkeypatch.setenv("ADMIN_API_KEY", secrets.token_urlsafe(32))


@pytest.mark.parametrize("name", ["SECRET_KEY", "ADMIN_API_KEY"])
@pytest.mark.parametrize(
    "value",
    [
        "local-secret-not-for-production",
        "local-admin-key-not-for-production",
        "please-CHANGE-ME-before-deploying",
        "my-Super-Secret-key-for-this-app",
        "1234567890123456",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ],
)
def test_a_dyno_does_not_start_with_a_placeholder(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    config.load()  # elsewhere it may
    on_a_dyno_of_its_own(monkeypatch)
    config.load()
    monkeypatch.setenv(name, value)

    with pytest.raises(EnvError, match=f"{name}.*placeholder") as refused:
        config.load()

    assert value not in str(refused.value)


@needs_env_file
def test_what_the_env_file_holds_is_no_secret_of_a_dyno() -> None:
    values = dotenv_values(ROOT / ".env")

    status, output = run(
        sys.executable, "-c", "import config", DYNO="web.1", SECRET_KEY=str(values["SECRET_KEY"])
    )

    assert status != 0
    assert "SECRET_KEY" in output
    assert str(values["SECRET_KEY"]) not in output


@pytest.mark.parametrize(
    ("sent", "on_a_dyno"),
    [
        ("postgres://u:p%40@host:5432/shop", "?sslmode=require"),
        ("postgres://host/shop?application_name=a", "&sslmode=require"),
        ("postgres://host/shop?sslmode=verify-full", ""),
        ("postgres://host/shop?sslmode=disable&application_name=a", ""),
    ],
)
def test_a_dyno_speaks_to_postgresql_through_tls(
    monkeypatch: pytest.MonkeyPatch, sent: str, on_a_dyno: str
) -> None:
    named = sent.replace("postgres:", "postgresql+psycopg2:")
    monkeypatch.setenv("DATABASE_URL", sent)
    here = config.load().database_url
    on_a_dyno_of_its_own(monkeypatch)

    assert here == named
    assert config.load().database_url == named + on_a_dyno


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("redis://host:6379", "redis://host:6379"),
        ("rediss://:p@host:6380", "rediss://:p@host:6380?ssl_cert_reqs=none"),
        ("rediss://:p@host:6380/0?a=1", "rediss://:p@host:6380/0?a=1&ssl_cert_reqs=none"),
        ("rediss://host?ssl_cert_reqs=required", "rediss://host?ssl_cert_reqs=required"),
    ],
)
def test_certificates_of_redis_may_be_self_signed(
    monkeypatch: pytest.MonkeyPatch, sent: str, read: str
) -> None:
    monkeypatch.setenv("REDIS_URL", sent)

    assert config.load().redis_url == read


def test_the_settings_show_no_secret_when_they_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTRY_DSN", "https://hush@sentry.example/1")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hush@host/shop")
    monkeypatch.setenv("REDIS_URL", "rediss://:hush@host")
    for name in ("SECRET_KEY", "ADMIN_API_KEY"):
        monkeypatch.setenv(name, "hush" * 4)

    shown = repr(config.load())

    assert "hush" not in shown
    assert "rate_limit=" in shown


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load().cors_origins == ()

    monkeypatch.setenv("CORS_ORIGINS", "https://shop.example, http://localhost:3000")

    assert config.load().cors_origins == ("https://shop.example", "http://localhost:3000")


def test_the_operations_page_tells_of_every_variable_and_of_no_other() -> None:
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', (ROOT / "config.py").read_text()))
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## Every setting")[2].partition("\n## ")[0]

    rows = re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| [^|]+ \|$", table, re.MULTILINE)

    assert {"DATABASE_URL", "HEROKU_RELEASE_VERSION", "RATE_LIMIT_VISITORS"} <= read
    assert sorted(rows) == sorted(read)


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("USD", 2), ("KWD", 3)])
def test_a_currency_has_its_own_decimals(
    monkeypatch: pytest.MonkeyPatch, currency: str, decimals: int
) -> None:
    monkeypatch.setenv("SHOP_CURRENCY", currency)

    assert config.load().currency_decimals == decimals


def test_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SHOP_CURRENCY=JPY\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("SHOP_CURRENCY", "KWD")
    monkeypatch.delenv("LOG_LEVEL")

    settings = config.load(file)

    assert (settings.currency, settings.log_level) == ("KWD", "DEBUG")


@needs_env_file
def test_a_developers_machine_reads_the_file() -> None:
    status, output = run(sys.executable, "-c", "import config", without=("SECRET_KEY", "DYNO"))

    assert status == 0, output


def test_a_dyno_does_not_read_the_file() -> None:
    status, output = run(
        sys.executable, "-c", "import config", without=("SECRET_KEY",), DYNO="web.1"
    )

    assert status != 0
    assert "SECRET_KEY" in output


def test_a_dyno_does_not_even_have_the_file() -> None:
    """Flask's own command line reads `.env` wherever it lies, `DYNO` or not."""
    ignored = (ROOT / ".slugignore").read_text().splitlines()

    assert ".env" in ignored


def test_celery_takes_herokus_redis_url() -> None:
    program = "from tasks import celery; celery.backend; celery.connection_for_write()"

    status, output = run(sys.executable, "-c", program, REDIS_URL="rediss://:secret@host:6380")

    assert status == 0, output
