"""The refused rows of an import as a file: complete, and good to be mended and sent again."""

import csv
import io

import pytest
from flask import Flask
from flask.testing import FlaskClient

from catalog import reports
from jobs import queue
from tests.importing import Importer, progress


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def report(app: Flask, job_id: int) -> tuple[str, str]:
    with app.app_context():
        media_type, pieces = reports.failed_rows(queue.find(job_id))
        return media_type, b"".join(pieces).decode()


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_a_report_has_each_refused_row_with_all_that_is_wrong(
    app: Flask, imported: Importer, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reports, "_AT_ONCE", at_once)
    job = imported(
        "handle,name,option1_name,option1_value,price\n"
        "tea,Tea,Size,S,1\ntea,,,L,free\nmilk,,Size,S,1\nmilk,,,S,2\nrum,Rum,,,1\ngin,,,,1\n"
    )
    assert job["progress"] == progress(total=6, processed=6, created=2, failed=4)

    media_type, text = report(app, job["id"])

    assert media_type.startswith("text/csv")
    rows = {row["_line"]: row for row in csv.DictReader(io.StringIO(text))}
    assert sorted(rows) == ["3", "4", "5", "7"]
    assert rows["3"]["option1_value"] == "L"
    assert rows["3"]["_error"].startswith("price: is not a")
    if at_once > 2:
        assert rows["5"]["_error"].count("; ") == 1  # told by reading, and by the database


def test_a_mended_report_is_imported_as_it_is(app: Flask, imported: Importer) -> None:
    job = imported("handle,name,price\n" + "".join(f"p{n},P,{'x' * (n % 2)}\n" for n in range(9)))
    _, text = report(app, job["id"])

    again = imported(text.replace(",x,", ",2.50,"))

    assert again["errors"] == []
    assert again["progress"] == progress(total=4, processed=4, created=4)


def test_a_report_is_read_by_the_options_of_its_import(app: Flask, imported: Importer) -> None:
    content = "Art;Bezeichnung;VK\n1;Süß;1,50\n2;Groß;umsonst\n".encode("cp1252")
    mapping = '{"sku": "Art", "name": "Bezeichnung", "price": "VK"}'
    job = imported(content, mapping=mapping, encoding="cp1252", delimiter=";")
    assert [error["line"] for error in job["errors"]] == [3]

    _, text = report(app, job["id"])

    assert text.splitlines()[1].startswith("2;Groß;umsonst;3;")
