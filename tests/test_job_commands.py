"""`flask jobs …` and `flask import FILE`, against a real worker."""

import os
import pty
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.commands import watching
from catalog.tasks import import_catalogue
from jobs import queue
from models import FileChunk, Job, Product, StoredFile
from tests.processes import BIN, ROOT, Worker

TEA = "handle,name,price\ntea,Tea,1.50\n"


def flask(app: Flask, *command: Any, sent: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=[str(word) for word in command], input=sent)


def enqueued(session: Session, **fields: Any) -> int:
    job = queue.enqueue(session, import_catalogue, "import")
    for name, value in fields.items():
        setattr(job, name, value)
    job_id = job.id
    session.commit()
    return job_id


# --- flask jobs -------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first(app: Flask, session: Session) -> None:
    first = enqueued(session)
    second = enqueued(
        session, kind="export", status="failed", finished_at=func.now(),
        progress={"total": 9, "processed": 5, "updated": 2, "failed": 0},
    )  # fmt: skip

    lines = flask(app, "jobs", "list").output.splitlines()

    assert [line.split()[:3] for line in lines] == [
        [str(second), "export", "failed"],
        [str(first), "import", "queued"],
    ]
    assert lines[0].endswith("5 of 9 rows, 2 updated")
    assert flask(app, "jobs", "list", "--status", "queued").output == f"{lines[1]}\n"
    assert flask(app, "jobs", "list", "--kind", "export").output == f"{lines[0]}\n"


def test_a_job_is_canceled_and_retried(app: Flask, session: Session) -> None:
    job_id = enqueued(session)

    canceled = flask(app, "jobs", "cancel", job_id)
    retried = flask(app, "jobs", "retry", job_id)
    refused = flask(app, "jobs", "retry", job_id)

    assert (canceled.exit_code, canceled.output.split()[2]) == (0, "canceled")
    assert (retried.exit_code, retried.output.split()[2]) == (0, "queued")
    assert (refused.exit_code, refused.output) == (
        1, "Error: The job is queued: it goes on by itself.\n",
    )  # fmt: skip
    assert queue.find(job_id).status == "queued"


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_a_job_that_is_not_there_is_told(app: Flask, command: str) -> None:
    result = flask(app, "jobs", command, 0)

    assert (result.exit_code, result.output) == (1, "Error: There is no job 0.\n")


# --- flask import -----------------------------------------------------------------------------


@pytest.mark.usefixtures("worker")
def test_a_file_is_imported_and_what_was_refused_is_shown(
    app: Flask, session: Session, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.csv"
    file.write_text(TEA + "".join(f"p{n},Product,free\n" for n in range(7)))

    result = flask(app, "import", file)

    assert result.exit_code == 0, result.output
    job = session.scalars(select(Job)).one()
    assert "8 of 8 rows, 1 created, 7 failed" in result.output
    assert "line 3, price: 'free'" in result.output
    assert f"and more: /api/v1/jobs/{job.id}/errors" in result.output
    assert result.output.count("'free'") == 5
    assert session.scalars(select(Product.handle)).all() == ["tea"]
    assert session.scalars(select(StoredFile.filename)).all() == ["catalogue.csv"]
    assert "line 3, price" in flask(app, "jobs", "show", job.id).output


@pytest.mark.usefixtures("worker")
def test_a_file_that_cannot_be_read_ends_the_command_with_the_reason(
    app: Flask, session: Session
) -> None:
    result = flask(app, "import", "-", sent="what,is,this\n1,2,3\n")

    assert result.exit_code == 1
    assert "  failed  " in result.output
    assert str(session.scalars(select(Job.error)).one()["code"]) in result.output  # type: ignore[index]


def test_options_reach_the_job(app: Flask, session: Session) -> None:
    result = flask(
        app, "import", "-", "--no-wait", "--format", "native", "--mode", "update", "--dry-run",
        "--blank", "clear", "--on-error", "stop", "--encoding", "cp1252", "--delimiter", ";",
        "--mapping", '{"name": "Artikel"}', sent=TEA,
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    job = session.scalars(select(Job)).one()
    assert result.stdout == f"{job.id}\n"
    assert f"jobs show --follow {job.id}" in result.stderr
    assert job.params == {
        "format": "native", "mode": "update", "dry_run": True, "blank": "clear",
        "on_error": "stop", "encoding": "cp1252", "delimiter": ";",
        "mapping": {"name": "Artikel"},
    }  # fmt: skip


def test_without_options_the_job_has_none(app: Flask, session: Session) -> None:
    flask(app, "import", "-", "--no-wait", "--format", "auto", sent=TEA)

    assert session.scalars(select(Job.params)).one() == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-", "--mapping", "name"), "must be a JSON object"),
        (("-", "--mapping", '["name"]'), "must be a JSON object"),
        (("-", "--mapping", '{"name": 1}'), "must be text"),
        (("-", "--mapping", '{"naem": "Artikel"}'), "which is no field"),
        (("-", "--encoding", "klingon"), "must be one of"),
        (("-", "--delimiter", "-"), "must be one of"),
        (("-", "--mode", "replace"), "--mode"),
        (("there-is-no-such-file.csv",), "does not exist"),
    ],
)
def test_a_bad_option_is_named(
    app: Flask, session: Session, options: tuple[str, ...], said: str
) -> None:
    result = flask(app, "import", *options, sent=TEA)

    assert result.exit_code == 2
    assert said in result.output
    assert session.scalars(select(Job.id)).all() == []


@pytest.mark.parametrize(("size", "said"), [(0, "is empty"), (5 * 1024 * 1024, "larger than")])
def test_a_file_that_is_not_taken_leaves_nothing(
    app: Flask, session: Session, size: int, said: str
) -> None:
    result = flask(app, "import", "-", sent="x" * size)

    assert (result.exit_code, said in result.output) == (1, True)
    assert session.scalar(select(func.count()).select_from(FileChunk)) == 0


def test_without_a_worker_that_is_said(
    app: Flask, session: Session, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the end of the job is shown, whoever brings it about."""
    worker.stop()
    monkeypatch.setattr(watching, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0)
    finds = iter(range(4))
    find = queue.find

    def canceled_in_the_end(job_id: int) -> Any:
        if next(finds) == 3:
            queue.cancel(session, job_id)
            session.commit()
        return find(job_id)

    monkeypatch.setattr(queue, "find", canceled_in_the_end)

    result = flask(app, "import", "-", sent=TEA)
    worker.start()

    assert result.exit_code == 1
    assert result.output.count("No worker has taken job") == 1
    assert "  canceled  " in result.output


def test_ctrl_c_leaves_the_job_to_the_worker(session: Session, worker: Worker) -> None:
    worker.stop()
    terminal, its_end = pty.openpty()
    command = subprocess.Popen(
        [str(BIN / "flask"), "--app", "wsgi", "import", "-"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=its_end, stderr=subprocess.PIPE,
        # Tests that run in the background of a shell hand on that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    assert command.stdin is not None
    rows = "".join(f"p{n},Product,1.50\n" for n in range(2000))
    command.stdin.write((TEA + rows).encode())
    command.stdin.close()
    assert command.stderr is not None
    waits = command.stderr.readline().decode()
    job_id = session.scalars(select(Job.id)).one()
    session.rollback()

    command.send_signal(signal.SIGINT)
    with command.stderr as errors:
        said = errors.read().decode()

    assert waits == f"No worker has taken job {job_id} yet. It waits for one.\n"
    assert command.wait(10) == 130
    assert f"Job {job_id} goes on without you." in said
    worker.start()
    followed = subprocess.run(
        [str(BIN / "flask"), "--app", "wsgi", "jobs", "show", "--follow", str(job_id)],
        cwd=ROOT, stdout=its_end, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(its_end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert followed.returncode == 0
    assert "100%" in shown
    assert "2001 of 2001 rows, 2001 created" in shown
