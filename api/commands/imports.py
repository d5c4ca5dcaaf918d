"""`flask --app wsgi import FILE`: the import of the API, from a terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from api.commands import watching
from api.commands.plainly import told_plainly
from catalog import import_options as options
from catalog import staging
from catalog.formats.detection import FORMATS
from catalog.tasks import import_catalogue
from config import settings
from errors import Fault, Invalid
from jobs import queue
from jobs.files import FileWriter, copy
from models import JSONObject, db


def _read_by(rule: Callable[[str], Any]) -> Callable[..., Any]:
    """A click callback that reads an option by the rule that the API has for it."""

    def read(_context: click.Context, _option: click.Parameter, sent: str | None) -> Any:
        try:
            return None if sent is None else rule(sent)
        except Fault as fault:
            raise click.BadParameter(fault.detail) from None

    return read


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", type=click.Choice(["auto", *FORMATS]), help="Else it is recognised.")
@click.option("--mode", type=click.Choice(staging.MODES), help="Which products it may write.")
@click.option("--dry-run", is_flag=True, default=None, help="Only say what would change.")
@click.option("--blank", type=click.Choice(options.BLANK), help="What a blank cell does.")
@click.option("--on-error", type=click.Choice(options.ON_ERROR), help="What a refused row does.")
@click.option("--encoding", callback=_read_by(options.encoding), help="Else it is recognised.")
@click.option("--delimiter", callback=_read_by(options.delimiter), help="Else it is recognised.")
@click.option("--mapping", callback=_read_by(options.mapping), help='Such as {"name": "Artikel"}.')
@click.option("--no-wait", is_flag=True, help="Leave it to the worker, and end.")
@with_appcontext
def import_file(file: str, no_wait: bool, **chosen: Any) -> None:
    """Import a catalogue file (- is the standard input), with live progress."""
    params = {name: value for name, value in chosen.items() if value not in (None, "auto")}
    with told_plainly():
        job_id = _enqueued(file, params)
        if no_wait:
            click.echo(job_id)
            watching.tell_where(job_id)
            return
        job = watching.until_its_end(queue.find(job_id))
        watching.tell(job)
    if job.status != "succeeded":
        raise click.exceptions.Exit(1)


def _enqueued(file: str, params: JSONObject) -> int:
    """The id of a job that imports the file, which lies in the database by then."""
    writer = FileWriter(db.engine, settings.max_import_bytes)
    try:
        with click.open_file(file, "rb") as opened:
            copy(opened, writer)
        if not writer.size_bytes:
            raise Invalid("The file is empty.", code="empty_file")
    except BaseException:
        writer.discard()
        raise
    writer.finish(db.session(), None if file == "-" else Path(file).name)
    job = queue.enqueue(db.session(), import_catalogue, "import", params, file_id=writer.file_id)
    job_id = job.id
    db.session.commit()
    return job_id
