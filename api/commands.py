"""Commands of `flask --app wsgi …`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup
from marshmallow import ValidationError
from sqlalchemy.exc import OperationalError

from access import keys as access_keys
from errors import PushcartError
from models import KEY_SCOPES, db
from schemas import KeySchema, faults_of

keys = AppGroup("keys", help="Make, list and revoke the keys of the API.")


def init_app(app: Flask) -> None:
    """Add the commands to the app."""
    app.cli.add_command(keys)


@keys.command("create")
@click.option("--name", required=True, help="Who will use it, and for what.")
@click.option("--scope", "scopes", required=True, multiple=True, type=click.Choice(KEY_SCOPES))
@click.option("--expires-in", "days", type=click.IntRange(1, 36_500), help="Days; else never.")
def create_key(name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key and print it, this once: it is stored nowhere."""
    sent: dict[str, Any] = {"name": name, "scopes": list(scopes)}
    if days is not None:
        sent["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    with _told_plainly():
        created, key = access_keys.create(db.session(), sent)
        db.session.commit()
        # Apart from the key, which a script may want to take from the standard output.
        click.echo(f"Key {created.id}, {created.prefix}. It is not shown again:", err=True)
    click.echo(key)


@keys.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    edge = None
    with _told_plainly():
        while rows := access_keys.page(100, edge):
            for row in rows:
                click.echo(_line(KeySchema().dump(row)))
            edge = (rows[-1].id,)


@keys.command("revoke")
@click.argument("prefix_or_id")
def revoke_key(prefix_or_id: str) -> None:
    """Revoke a key for good; within a second, no process lets it in."""
    with _told_plainly():
        found = access_keys.find_named(prefix_or_id)
        access_keys.revoke(db.session(), found.id)
        db.session.commit()
    click.echo(f"Revoked key {found.id}, {found.prefix} ({found.name}).")


def _line(key: dict[str, Any]) -> str:
    times = ("created_at", "expires_at", "last_used_at", "revoked_at")
    told = (f"{name.removesuffix('_at')} {key[name]}" for name in times if key[name])
    first = f"{key['id']}  {key['prefix']}  {key['name']}  {','.join(key['scopes'])}"
    return "  ".join([first, *told])


@contextmanager
def _told_plainly() -> Iterator[None]:
    """End with one line and status 1, not with a traceback, for what is the user's to mend."""
    try:
        yield
    except ValidationError as error:
        faults = (f"{fault.pointer}: {fault.detail}" for fault in faults_of(error))
        raise click.ClickException("; ".join(faults)) from None
    except PushcartError as error:
        raise click.ClickException(error.detail) from None
    except OperationalError:
        raise click.ClickException("The database does not answer.") from None
