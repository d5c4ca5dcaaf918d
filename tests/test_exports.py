"""Exports: what they hold, that nothing kills them, and that importing one changes nothing."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog import exports
from catalog.formats.detection import WRITABLE
from jobs.running import RunningJob
from models import Job, JSONObject
from tests.importing import Importer, progress
from tests.keyring import client_with, made_key
from tests.stage import created, faults_of

URL = "/api/v1/exports"


@pytest.fixture
def catalogue(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def handles(job: dict[str, Any]) -> list[str]:
    """The handles in an NDJSON export, in its order."""
    return [json.loads(line)["handle"] for line in job["file"].splitlines()]


# --- what an export holds -----------------------------------------------------------------------


def test_an_export_holds_the_products_of_a_list_with_the_same_filters(
    admin: FlaskClient, catalogue: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_PRODUCTS", 2)
    for n in range(5):
        created(admin, handle=f"tea-{n}", vendor="Leaf, Ltd", price=n, tags=["tea"])
    created(admin, handle="draft", status="draft", vendor="Leaf, Ltd", price=3)
    created(admin, handle="mug", vendor="Clay")
    gone = created(admin, handle="gone", vendor="Leaf, Ltd", price=3)
    admin.delete(f"/api/v1/products/{gone['id']}")

    for filters in (
        {"vendor[in]": '"Leaf, Ltd",Clay'},
        {"vendor": "Leaf, Ltd", "price[gte]": "2.00"},
        {"q": "tea", "price[lt]": "4"},
        {"status": "draft"},
        {"created_at[gt]": "2020-01-01T00:00:00+02:00"},
        {"vendor": "nobody"},
        {},
    ):
        listed = admin.get("/api/v1/products", query_string={**filters, "sort": "id"}).get_json()

        job = catalogue.export(format="ndjson", **filters)

        assert handles(job) == [product["handle"] for product in listed["data"]], filters
        number = len(listed["data"])
        assert job["progress"] == progress(total=number, processed=number)
        assert (job["kind"], job["status"]) == ("export", "succeeded")
        assert job["result"] == {"format": "ndjson"}


def test_its_result_is_a_file_with_a_name_and_a_type(
    admin: FlaskClient, catalogue: Importer
) -> None:
    created(admin)

    for name, media_type, extension in (
        ("ndjson", "application/x-ndjson", "ndjson"),
        ("native", "text/csv", "csv"),
        ("shopify", "text/csv", "csv"),
        ("woocommerce", "text/csv", "csv"),
    ):
        job = catalogue.export(format=name)
        response = admin.get(f"/api/v1/jobs/{job['id']}/result")

        assert response.status_code == 200
        assert response.data == job["file"]
        assert response.mimetype == media_type
        disposition = response.headers["Content-Disposition"]
        assert f"products-{job['id']}.{extension}" in disposition


def test_who_may_read_products_may_export_them(
    app: Flask, admin: FlaskClient, client: FlaskClient
) -> None:
    assert client.post(URL).status_code == 401
    assert client_with(app, made_key(admin, "jobs:write")).post(URL).status_code == 403
    assert client_with(app, made_key(admin, "products:read")).post(URL).status_code == 202


def test_an_export_asked_for_twice_with_one_key_is_made_once(
    admin: FlaskClient, session: Session
) -> None:
    headers = {"Idempotency-Key": "nightly"}
    first, second = (admin.post(URL, headers=headers) for _ in range(2))

    assert first.get_json() == second.get_json()
    assert session.scalar(select(func.count()).select_from(Job)) == 1


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("format=xml", "not_a_choice", "format"),
        ("price[gt]=free", "not_a_number", "price[gt]"),
        ("sort=name", "unknown_parameter", "sort"),
        ("limit=5", "unknown_parameter", "limit"),
        ("vendor=", "blank", "vendor"),
        ("q=%00", "nul_character", "q"),
    ],
)
def test_what_cannot_be_exported_is_refused_at_once(
    admin: FlaskClient, query: str, code: str, parameter: str
) -> None:
    response = admin.post(f"{URL}?{query}")

    assert response.status_code == 400
    assert faults_of(response) == [(code, parameter)]


# --- deaths and changes in the middle -------------------------------------------------------------


class Killed(BaseException):
    """Ends an attempt without a word."""


@pytest.mark.parametrize("name", WRITABLE)
def test_an_export_whose_attempts_die_again_and_again_is_whole(
    admin: FlaskClient,
    catalogue: Importer,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    for n in range(7):
        created(admin, handle=f"tea-{n}", metadata={f"key {n}": "x"})
    whole = catalogue.export(format=name)["file"]
    monkeypatch.setattr(exports, "PAGE_PRODUCTS", 2)
    step = RunningJob.step

    def dying(self: RunningJob, work: Any, *, checkpoint: JSONObject) -> None:
        step(self, work, checkpoint=checkpoint)
        raise Killed

    monkeypatch.setattr(RunningJob, "step", dying)
    job_id = catalogue.ask(format=name)
    for _ in range(5):  # the head, and four pages
        with pytest.raises(Killed):
            catalogue.run(job_id)
        past = func.now() - timedelta(seconds=1)
        session.execute(update(Job).values(lease_until=past).where(Job.id == job_id))
        session.commit()
    job = catalogue.run(job_id)

    assert (job["status"], job["attempts"]) == ("succeeded", 6)
    assert catalogue.result(job_id) == whole


def test_what_changes_meanwhile_stands_in_the_file_once(
    admin: FlaskClient, catalogue: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_PRODUCTS", 2)
    for handle in "abcd":
        created(admin, handle=handle)
    step = RunningJob.step

    def meanwhile(self: RunningJob, work: Any, *, checkpoint: JSONObject) -> None:
        step(self, work, checkpoint=checkpoint)
        if checkpoint["after"] is not None and not checkpoint["whole"]:
            admin.patch("/api/v1/products/a", json={"name": "Zzz", "price": 9})
            admin.delete("/api/v1/products/d")
            admin.put("/api/v1/products/e", json={"name": "E"})

    monkeypatch.setattr(RunningJob, "step", meanwhile)

    job = catalogue.export(format="ndjson")

    assert handles(job) == ["a", "b", "c", "e"]
    assert job["progress"] == progress(total=4, processed=4)


def test_a_canceled_export_goes_on_when_it_is_retried(
    admin: FlaskClient, catalogue: Importer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_PRODUCTS", 2)
    for handle in "abcde":
        created(admin, handle=handle)
    step = RunningJob.step

    def canceled(self: RunningJob, work: Any, *, checkpoint: JSONObject) -> None:
        step(self, work, checkpoint=checkpoint)
        if checkpoint["after"] is not None:
            session.execute(
                update(Job).values(status="canceled", lease_until=None, finished_at=func.now())
            )
            session.commit()

    monkeypatch.setattr(RunningJob, "step", canceled)
    job = catalogue.run(catalogue.ask(format="ndjson"))
    monkeypatch.setattr(RunningJob, "step", step)
    again = catalogue.again(job["id"])

    assert (job["status"], job["progress"]["processed"]) == ("canceled", 2)
    assert again["status"] == "succeeded"
    assert handles({"file": catalogue.result(job["id"])}) == [*"abcde"]


# --- there and back -------------------------------------------------------------------------------

TEXTS = (
    *("=1+1", "-5", "+49 30", "@x", "'quoted", "''=2", "'=3", "\tindented", "a,b;c|d", 'say "hi"'),
    *(
        "ễ™ 日本茶 🍵",
        "Smørrebrød",
        "two\nlines\r\nthree",
        "0042",
        "1.55E+15",
        "TRUE",
        "[1]",
        '{"a": 1}',
    ),
)


def products() -> list[JSONObject]:
    """Products that a careless format would change."""
    one_line = [" ".join(text.split()) for text in TEXTS]
    plain = [
        {
            "handle": f"{n}-{text.replace('/', ' ')}",
            "name": text,
            "description": f"{TEXTS[n]} <b>x</b>\n{TEXTS[n]}",
            "vendor": text,
            "category": f"{text} > {text}",
            "tags": [text.replace(",", " ")],
            "sku": text if "E+" not in text else None,
            "barcode": text if "E+" not in text else None,
            "metadata": {"note": TEXTS[n], text: "x"},
        }
        for n, text in enumerate(one_line)
    ]
    sizes = [
        {
            "options": {"Size": size, "Colour": colour},
            "sku": f"T-{size}-{colour}",
            "price": price,
            "compare_at_price": "99.00",
            "barcode": "0850064060010",
            "weight_grams": "453.592",
            "stock": -3,
            "backorder": True,
        }
        for size, price in (("S", "0.00"), ("½ l", "1250.50"), ("=L", None))
        for colour in ("Weiß", "-")
    ]
    images = [
        {"url": f"https://x.example/{n}?a=1&b=,{n}", "alt": a}
        for n, a in enumerate([None, "=a", "ü"])
    ]
    return [
        *plain,
        {"handle": "bare", "name": "Bare"},
        {"handle": "draft", "name": "Draft", "status": "draft"},
        {"handle": "archived", "name": "Archived", "status": "archived", "images": images[:1]},
        {"handle": "tee", "name": "Tee", "variants": sizes, "options": ["Size", "Colour"],
         "images": images, "tags": ["a b", "c", "=d"],
         "metadata": {"n": 1.5, "deep": {"a": [None, True]}, "per": {"S / Weiß": "x"}, "": ""}},
        {"handle": "one", "name": "One", "variants": [{"options": {"Size": "M"}, "stock": 0}]},
        {"handle": "odd", "name": "Odd", "options": ["Unused"],
         "variants": [{"options": {"A": "1"}}, {"options": {"B": "2"}}]},
        {"handle": "many", "name": "Many", "images": images,
         "variants": [{"options": {f"O{n}": "x" for n in range(5)}}]},
    ]  # fmt: skip


def put_in(admin: FlaskClient, sent: Sequence[JSONObject]) -> None:
    response = admin.post("/api/v1/products/batch", json={"products": sent})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("name", WRITABLE)
def test_importing_an_export_changes_nothing_and_says_so(
    admin: FlaskClient, catalogue: Importer, name: str
) -> None:
    put_in(admin, products())

    file = catalogue.export(format=name)["file"]
    again = catalogue(file, dry_run="true")

    assert again["errors"] == [], file.decode()
    assert [json.loads(line) for line in catalogue.result(again["id"]).splitlines()] == []
    number = len(products())
    counts = {key: again["progress"][key] for key in ("created", "updated", "unchanged", "failed")}
    assert counts == {"created": 0, "updated": 0, "unchanged": number, "failed": 0}


@pytest.mark.parametrize("name", WRITABLE)
def test_an_export_imported_elsewhere_gives_the_same_products(
    app: Flask, admin: FlaskClient, catalogue: Importer, name: str
) -> None:
    put_in(admin, products())
    before = public(catalogue)
    file = catalogue.export(format=name)["file"]
    for product in json.loads(
        b"[%b]" % b",".join(catalogue.export(format="ndjson")["file"].split(b"\n")[:-1])
    ):
        admin.delete(f"/api/v1/products/{product['id']}")

    job = catalogue(file)

    assert job["errors"] == []
    assert public(catalogue) == before


def public(catalogue: Importer) -> dict[str, Any]:
    """Every product by its handle, without what the server gives."""
    given = ("id", "version", "created_at", "updated_at")
    found = {}
    for line in catalogue.export(format="ndjson")["file"].splitlines():
        product = {key: value for key, value in json.loads(line).items() if key not in given}
        for variant in product["variants"]:
            del variant["id"]
        found[product["handle"]] = product
    return found


@pytest.mark.parametrize("name", sorted({*WRITABLE} - {"ndjson"}))
def test_no_cell_is_taken_for_a_formula(admin: FlaskClient, catalogue: Importer, name: str) -> None:
    put_in(admin, products())

    for row in csv.reader(io.StringIO(catalogue.export(format=name)["file"].decode(), newline="")):
        for cell in row:
            is_number = re.fullmatch(r"-[0-9]+(\.[0-9]+)?", cell)
            assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
