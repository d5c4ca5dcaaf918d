"""Every environment variable: read once, typed, and loud on a bad value.

`.env` holds harmless local values; a variable of the real environment beats it, and on Heroku
(where `DYNO` is set) the file is not read at all.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from environs import Env, ValidationError, validate

# ISO 4217: the currencies whose minor unit is not a hundredth.
_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("CLF", "UYW"), 4),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; sizes in bytes, times in seconds."""

    database_url: str
    redis_url: str
    secret_key: str
    admin_api_key: str
    public_reads: bool
    require_if_match: bool
    currency: str
    max_body_bytes: int
    max_import_bytes: int
    lease_seconds: float
    sweep_seconds: float
    job_retention_days: float
    file_retention_days: float
    log_level: str
    rate_limit: int
    rate_limit_visitors: int
    trust_forwarded_for: bool

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
    # Requests a minute. 100 a second for one key leaves room for others on the smallest dyno.
    rate_limit = env.int("RATE_LIMIT", 6000, validate=validate.Range(min=0))  # 0: no limit
    return Settings(
        database_url=_psycopg2_url(env.str("DATABASE_URL", validate=_scheme("postgres"))),
        redis_url=_unverified(env.str("REDIS_URL", validate=_scheme("redis", "rediss"))),
        secret_key=env.str("SECRET_KEY", validate=validate.Length(min=16)),
        admin_api_key=env.str("ADMIN_API_KEY", "", validate=_empty_or_at_least(16)),
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
        log_level=env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(_LOG_LEVELS)),
        rate_limit=rate_limit,
        # Without a key an address has a tenth of that, unless it is told otherwise.
        rate_limit_visitors=env.int(
            "RATE_LIMIT_VISITORS", -(-rate_limit // 10), validate=validate.Range(min=0)
        ),
        # Heroku's router appends the address it saw; elsewhere a client may write what it likes.
        trust_forwarded_for=env.bool("TRUST_FORWARDED_FOR", "DYNO" in os.environ),
    )


_days = validate.Range(min=0.01, max=36_500)
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def _scheme(*allowed: str) -> Callable[[str], None]:
    def check(url: str) -> None:
        scheme = urlsplit(url).scheme.partition("+")[0].replace("postgresql", "postgres")
        if scheme not in allowed:
            raise ValidationError(f"must be a {' or '.join(allowed)} URL")

    return check


def _empty_or_at_least(length: int) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value and len(value) < length:
            raise ValidationError(f"must have at least {length} characters")

    return check


def _unverified(url: str) -> str:
    """Say what Celery insists on being told: Heroku's Redis certificates are self-signed."""
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in parts.query:
        return url
    query = "&".join(filter(None, (parts.query, "ssl_cert_reqs=none")))
    return urlunsplit(parts._replace(query=query))


def _psycopg2_url(url: str) -> str:
    """Name the driver: SQLAlchemy refuses Heroku's `postgres://`, and has another default."""
    return "postgresql+psycopg2" + url[url.index(":") :]


settings = load(None if "DYNO" in os.environ else Path(__file__).with_name(".env"))
