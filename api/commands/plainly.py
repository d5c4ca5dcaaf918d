"""What goes wrong in a command, told to the person who gave it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from marshmallow import ValidationError
from sqlalchemy.exc import OperationalError

from errors import PushcartError
from schemas import faults_of


@contextmanager
def told_plainly() -> Iterator[None]:
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
