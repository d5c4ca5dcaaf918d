"""Imports and exports in the test's own process, for tests of what they do."""

from typing import Any

from celery import current_app
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from catalog import imports
from jobs import queue
from jobs.files import FileReader
from models import Job, StoredFile, db


class Importer:
    """Sends files, asks for exports, does their jobs here, and tells what has come of them."""

    def __init__(self, app: Flask, admin: FlaskClient) -> None:
        self._app = app
        self._admin = admin

    def __call__(self, content: str | bytes, **query: Any) -> dict[str, Any]:
        """Import a file; returns the job, with its refused rows as `errors`."""
        return self.run(self.send(content, **query))

    def send(self, content: str | bytes, **query: Any) -> int:
        """Send a file; returns the id of the job that waits."""
        response = self._admin.post(
            "/api/v1/imports", data=content, content_type="text/csv", query_string=query
        )
        assert response.status_code == 202, response.text
        assert response.get_json()["status"] == "queued"
        job_id: int = response.get_json()["id"]
        return job_id

    def export(self, **query: Any) -> dict[str, Any]:
        """Export products; returns the job, with its file's content as `file`."""
        job = self.run(self.ask(**query))
        return {**job, "file": self.result(job["id"])}

    def ask(self, **query: Any) -> int:
        """Ask for an export; returns the id of the job that waits."""
        response = self._admin.post("/api/v1/exports", query_string=query)
        assert response.status_code == 202, response.text
        job_id: int = response.get_json()["id"]
        return job_id

    def run(self, job_id: int) -> dict[str, Any]:
        """Do a queued job."""
        with self._app.app_context():
            current_app.tasks[queue.find(job_id).task].run(job_id)
        return self.job(job_id)

    def result(self, job_id: int) -> bytes:
        """The content of a job's result file, which is whole."""
        with self._app.app_context():
            file = db.session.scalars(
                select(StoredFile)
                .join(Job, Job.result_file_id == StoredFile.id)
                .where(Job.id == job_id)
            ).one()
            content = FileReader(file.id).readall()
            assert file.size_bytes == len(content)
            db.session.rollback()
        return content

    def renew(self, job_id: int) -> None:
        """Queue a job for a retry."""
        with self._app.app_context():
            queue.retry(db.session(), job_id)
            db.session.commit()

    def again(self, job_id: int) -> dict[str, Any]:
        """Retry a job and do it."""
        self.renew(job_id)
        return self.run(job_id)

    def job(self, job_id: int) -> dict[str, Any]:
        """The job as the API shows it, with its refused rows."""
        job: dict[str, Any] = self._admin.get(f"/api/v1/jobs/{job_id}").get_json()
        errors = self._admin.get(job["links"]["errors"], query_string={"limit": 200})
        return {**job, "errors": errors.get_json()["data"]}


def progress(**counts: int) -> dict[str, int]:
    """The progress with these counts, and 0 for the others."""
    return {**imports.NO_PROGRESS, **counts}
