"""Every environment variable: read once, typed, and loud on a bad value.

`.env` holds harmless local values; a variable of the real environment beats it, and on Heroku
(where `DYNO` is set) the file is not read at all. docs/operations.md says what each one means.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from environs import Env, ValidationError, validate

# ISO 4217: the currencies whose minor unit is not a hundredth.
_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("CLF", "UYW"), 4),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_MIB = 1024 * 1024
# In what nobody has generated: the values of `.env`, and those of examples in documentation.
_PLACEHOLDERS = (
    *("not-for-production", "secret", "password", "changeme", "change-me", "change_me"),
    *("example", "placeholder", "insecure", "12345678", "abcdefgh"),
)
_FEWEST_CHARACTERS = 6  # different ones: `aaaaaaaaaaaaaaaa` is as good as known


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; sizes in bytes, times in seconds."""

    database_url: str = field(repr=False)  # secrets are not to be printed by accident
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    admin_api_key: str = field(repr=False)
    public_reads: bool
    require_if_match: bool
    currency: str
    max_body_bytes: int
    max_import_bytes: int
    lease_seconds: float
    sweep_seconds: float
    job_retention_days: float
    file_retention_days: float
    event_retention_days: float
    webhooks_allow_private: bool
    shop_name: str
    shop_email: str
    mail_url: str
    mail_from: str
    low_stock: int
    log_level: str
    log_format: str
    slow_request_ms: int
    rate_limit: int
    rate_limit_visitors: int
    trust_forwarded_for: bool
    cors_origins: tuple[str, ...]
    sentry_dsn: str = field(repr=False)
    metrics_folder: str
    dyno: str
    release: str

    @property
    def currency_decimals(self) -> int:
        """Digits after the decimal point of the shop's currency (JPY 0, USD 2, KWD 3)."""
        return _DECIMALS.get(self.currency, 2)


def load(env_file: Path | None = None) -> Settings:
    """Read the environment, over `env_file` if one is given.

    Raises `environs.EnvError`, which names the variable, on a missing or bad value.
    """
    env = Env()
    if env_file is not None:
        env.read_env(str(env_file), recurse=False, override=False)
    dyno = env.str("DYNO", "")
    on_heroku = bool(dyno)
    long_enough = validate.Length(min=16)
    secret = validate.And(long_enough, _generated) if on_heroku else long_enough
    # Requests a minute. 100 a second for one key leaves room for others on the smallest dyno.
    rate_limit = env.int("RATE_LIMIT", 6000, validate=validate.Range(min=0))  # 0: no limit
    return Settings(
        database_url=_database_url(
            env.str("DATABASE_URL", validate=_scheme("postgres")), encrypted=on_heroku
        ),
        redis_url=_unverified(env.str("REDIS_URL", validate=_scheme("redis", "rediss"))),
        secret_key=env.str("SECRET_KEY", validate=secret),
        admin_api_key=env.str("ADMIN_API_KEY", "", validate=_empty_or(secret)),
        public_reads=env.bool("PUBLIC_READS", True),
        require_if_match=env.bool("REQUIRE_IF_MATCH", False),
        currency=env.str("SHOP_CURRENCY", "USD", validate=validate.Regexp(r"^[A-Z]{3}$")),
        max_body_bytes=env.int("MAX_BODY_BYTES", _MIB, validate=validate.Range(min=1024)),
        max_import_bytes=env.int("MAX_IMPORT_BYTES", 256 * _MIB, validate=validate.Range(min=1024)),
        lease_seconds=env.float("JOB_LEASE_SECONDS", 60.0, validate=validate.Range(min=1)),
        sweep_seconds=env.float("JOB_SWEEP_SECONDS", 10.0, validate=validate.Range(min=0.5)),
        job_retention_days=env.float("JOB_RETENTION_DAYS", 30.0, validate=_days),
        # Uploads and results: what may be retried and downloaded. Jobs tell more with less.
        file_retention_days=env.float("FILE_RETENTION_DAYS", 7.0, validate=_days),
        event_retention_days=env.float("EVENT_RETENTION_DAYS", 30.0, validate=_days),
        webhooks_allow_private=env.bool("WEBHOOKS_ALLOW_PRIVATE", False),
        shop_name=env.str("SHOP_NAME", "Pushcart", validate=_one_line),
        shop_email=env.str("SHOP_EMAIL", "", validate=_empty_or(_mailbox)),
        mail_url=env.str("MAIL_URL", "console:", validate=_mail_server),
        mail_from=env.str("MAIL_FROM", "shop@localhost", validate=_mailbox),
        low_stock=env.int("LOW_STOCK", 5, validate=validate.Range(min=0)),
        log_level=env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(_LOG_LEVELS)),
        log_format=env.str("LOG_FORMAT", "logfmt", validate=validate.OneOf(("logfmt", "json"))),
        slow_request_ms=env.int("SLOW_REQUEST_MS", 500, validate=validate.Range(min=0)),  # 0: off
        rate_limit=rate_limit,
        # Without a key an address has a tenth of that, unless it is told otherwise.
        rate_limit_visitors=env.int(
            "RATE_LIMIT_VISITORS", -(-rate_limit // 10), validate=validate.Range(min=0)
        ),
        # Heroku's router appends the address it saw; elsewhere a client may write what it likes.
        trust_forwarded_for=env.bool("TRUST_FORWARDED_FOR", on_heroku),
        cors_origins=tuple(env.list("CORS_ORIGINS", [], subcast=str.strip, validate=_origins)),
        sentry_dsn=env.str("SENTRY_DSN", "", validate=_empty_or(_scheme("https", "http"))),
        # gunicorn.conf.py has set it, for prometheus_client, which reads it by itself.
        metrics_folder=env.str("PROMETHEUS_MULTIPROC_DIR", ""),
        dyno=dyno,
        # Heroku sets it where the metadata of dynos is on; see docs/operations.md.
        release=env.str("HEROKU_RELEASE_VERSION", ""),
    )


_days = validate.Range(min=0.01, max=36_500)
_MAILBOX = re.compile(r"[^\s@<>,]+@[^\s@<>,]+")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def _scheme(*allowed: str) -> Callable[[str], None]:
    def check(url: str) -> None:
        scheme = urlsplit(url).scheme.partition("+")[0].replace("postgresql", "postgres")
        if scheme not in allowed:
            raise ValidationError(f"must be a {' or '.join(allowed)} URL")

    return check


def _empty_or(rule: Callable[[str], object]) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value:
            rule(value)

    return check


def _one_line(value: str) -> None:
    if not value.strip() or not value.isprintable():
        raise ValidationError("must be one line of text")


def _mailbox(value: str) -> None:
    if not _MAILBOX.fullmatch(value):
        raise ValidationError("must be an address such as orders@shop.example")


def _mail_server(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0 and not parts.path.strip("/")
    except ValueError:
        whole = False
    if url != "console:" and not (whole and parts.scheme in ("smtp", "smtps")):
        raise ValidationError("must be console:, or smtp://user:password@host:port, or smtps://…")


def _generated(value: str) -> None:
    known = any(word in value.lower() for word in _PLACEHOLDERS)
    if known or len(set(value)) < _FEWEST_CHARACTERS:
        raise ValidationError("is a placeholder: generate one, as with `openssl rand -hex 32`")


def _origins(values: list[str]) -> None:
    for value in values:
        parts = urlsplit(value)
        whole = parts.scheme in ("https", "http") and value == f"{parts.scheme}://{parts.netloc}"
        if value != "*" and not (whole and parts.netloc):
            raise ValidationError("must be origins such as https://shop.example, or *")


def _unverified(url: str) -> str:
    """Say what Celery insists on being told: Heroku's Redis certificates are self-signed."""
    return _with_option(url, "ssl_cert_reqs", "none") if url.startswith("rediss:") else url


def _database_url(url: str, *, encrypted: bool) -> str:
    """Name the driver: SQLAlchemy refuses Heroku's `postgres://`, and has another default.

    `encrypted`: without TLS there is no connection, unless the URL itself has another opinion.
    """
    named = "postgresql+psycopg2" + url[url.index(":") :]
    return _with_option(named, "sslmode", "require") if encrypted else named


def _with_option(url: str, name: str, value: str) -> str:
    """The URL with this parameter in its query, unless it is there already."""
    query = urlsplit(url).query
    if name in parse_qs(query, keep_blank_values=True):
        return url
    return f"{url}{'&' if query else '?'}{name}={value}"


settings = load(None if "DYNO" in os.environ else Path(__file__).with_name(".env"))
