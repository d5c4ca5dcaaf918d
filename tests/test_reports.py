"""The refused rows of an import as a file: complete, and good to be mended and sent again."""

import csv
import io
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from catalog import reports
from tests.importing import Importer, progress
from tests.keyring import sql


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def report(admin: FlaskClient, job_id: int) -> tuple[str, str]:
    response = admin.get(f"/api/v1/jobs/{job_id}/errors", headers={"Accept": "text/csv"})
    assert response.status_code == 200
    return response.headers["Content-Type"], response.get_data(as_text=True)


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_a_report_has_each_refused_row_with_all_that_is_wrong(
    admin: FlaskClient, imported: Importer, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reports, "_AT_ONCE", at_once)
    job = imported(
        "handle,name,option1_name,option1_value,price\n"
        "tea,Tea,Size,S,1\ntea,,,L,free\nmilk,,Size,S,1\nmilk,,,S,2\nrum,Rum,,,1\ngin,,,,1\n"
    )
    assert job["progress"] == progress(total=6, processed=6, created=2, failed=4)

    media_type, text = report(admin, job["id"])

    assert media_type.startswith("text/csv")
    rows = {row["_line"]: row for row in csv.DictReader(io.StringIO(text))}
    assert sorted(rows) == ["3", "4", "5", "7"]
    assert rows["3"]["option1_value"] == "L"
    assert rows["3"]["_error"].startswith("price: is not a")
    if at_once > 2:
        assert rows["5"]["_error"].count("; ") == 1  # told by reading, and by the database


def test_a_mended_report_is_imported_as_it_is(admin: FlaskClient, imported: Importer) -> None:
    job = imported("handle,name,price\n" + "".join(f"p{n},P,{'x' * (n % 2)}\n" for n in range(9)))
    _, text = report(admin, job["id"])

    again = imported(text.replace(",x,", ",2.50,"))

    assert again["errors"] == []
    assert again["progress"] == progress(total=4, processed=4, created=4)


def test_a_report_is_read_by_the_options_of_its_import(
    admin: FlaskClient, imported: Importer
) -> None:
    content = "Art;Bezeichnung;VK\n1;Süß;1,50\n2;Groß;umsonst\n".encode("cp1252")
    mapping = '{"sku": "Art", "name": "Bezeichnung", "price": "VK"}'
    job = imported(content, mapping=mapping, encoding="cp1252", delimiter=";")
    assert [error["line"] for error in job["errors"]] == [3]

    _, text = report(admin, job["id"])

    assert text.splitlines()[1].startswith("2;Groß;umsonst;3;")


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("text/csv", "", "text/csv; charset=utf-8"),
        ("text/csv, application/json;q=0.5", "", "text/csv; charset=utf-8"),
        ("*/*", "?format=csv", "text/csv; charset=utf-8"),
        ("text/csv", "?format=json", "application/json"),
        ("*/*", "", "application/json"),
        ("text/html, */*;q=0.8", "", "application/json"),
    ],
)
def test_who_asks_for_it_gets_the_report_as_a_file(
    admin: FlaskClient, imported: Importer, accept: str, query: str, media_type: str
) -> None:
    job = imported("handle,name,price\ntea,Tea,free\n")

    response = admin.get(f"/api/v1/jobs/{job['id']}/errors{query}", headers={"Accept": accept})

    assert response.headers["Content-Type"] == media_type
    name = response.headers.get("Content-Disposition")
    expected = f"attachment; filename=errors-{job['id']}.csv" if "csv" in media_type else None
    assert name == expected


def test_of_refused_objects_the_report_is_ndjson(admin: FlaskClient, imported: Importer) -> None:
    job = imported('{"name": "Tea", "price": "free"}\n{"name": "Rum"}\n')

    media_type, text = report(admin, job["id"])

    assert media_type == "application/x-ndjson"
    (row,) = map(json.loads, text.splitlines())
    assert (row["name"], row["price"], row["_line"]) == ("Tea", "free", 1)
    assert "price" in row["_error"]


def test_without_a_refused_row_or_without_its_file_there_is_no_report(
    app: Flask, admin: FlaskClient, imported: Importer
) -> None:
    good = imported("handle,name\ntea,Tea\n")
    bad = imported("handle,name,price\nrum,Rum,free\n")
    sql(app, "UPDATE files SET expired_at = now()")

    answers = [admin.get(f"/api/v1/jobs/{job['id']}/errors?format=csv") for job in (good, bad)]

    codes = [(answer.status_code, answer.get_json()["code"]) for answer in answers]
    assert codes == [(404, "no_refused_rows"), (410, "file_expired")]
