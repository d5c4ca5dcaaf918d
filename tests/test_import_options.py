"""What the options of an import change: which rows take effect, and what is told of them."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from catalog import imports, staging
from catalog.formats.rows import ProductRows, VariantRow
from models import Job, db
from tests.importing import Importer, progress
from tests.stage import created, faults_of

URL = "/api/v1/imports"


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def product(admin: FlaskClient, handle: str) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"/api/v1/products/{handle}").get_json()
    return found


def lines_and_codes(job: dict[str, Any]) -> list[tuple[int, str]]:
    return [(error["line"], error["code"]) for error in job["errors"]]


# --- mode ---------------------------------------------------------------------------------------


def test_creating_alone_refuses_what_is_there(imported: Importer, admin: FlaskClient) -> None:
    created(admin, handle="tea", name="Tea")

    job = imported("handle,name\ntea,Green\nmilk,Milk\nrum,\n", mode="create")

    assert job["progress"] == progress(total=3, processed=3, created=1, failed=2)
    assert lines_and_codes(job) == [(2, "exists"), (4, "required")]
    assert job["errors"][0]["value"] == "tea"
    assert product(admin, "tea")["name"] == "Tea"


def test_updating_alone_refuses_what_is_not_there(imported: Importer, admin: FlaskClient) -> None:
    created(admin, handle="tea", name="Tea")

    job = imported("handle,name\ntea,Green\nmilk,Milk\nrum,\n", mode="update")

    assert job["progress"] == progress(total=3, processed=3, updated=1, failed=2)
    assert lines_and_codes(job) == [(3, "product_not_found"), (4, "product_not_found")]
    assert product(admin, "tea")["name"] == "Green"
    assert admin.get("/api/v1/products/milk").status_code == 404


# --- dry_run ------------------------------------------------------------------------------------

STORED = "handle,name,option1_name,option1_value,price,stock\ntea,Tea,Size,S,1,5\ntea,,,L,2,\n"
CHANGING = """\
handle,name,vendor,option1_name,option1_value,price,stock,weight_grams
tea,Tea,Leaf,Size,S,1.00,5,
tea,,,,M,3,,250.500
milk,Milk,,,,4,,
rum,,,,,5,,
té,Té,,,,free,,
gin,Gin,,Size,S,6,,
gin,,,,L,free,,
same,Same,,,,1,,
"""
SAME = "handle,name,price\nsame,Same,1\n"


def told(imported: Importer, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a dry run's result file."""
    return [json.loads(line) for line in imported.result(job["id"]).splitlines()]


def traces(app: Flask) -> Sequence[Any]:
    """What every writing of a product or variant would change, locks and ids given included."""
    with app.app_context():
        rows = db.session.execute(
            text(
                "SELECT 'p', id, ctid::text, xmin::text, xmax::text FROM products UNION ALL"
                " SELECT 'v', id, ctid::text, xmin::text, xmax::text FROM variants UNION ALL"
                " SELECT 'p_id', last_value, '', '', '' FROM products_id_seq UNION ALL"
                " SELECT 'v_id', last_value, '', '', '' FROM variants_id_seq ORDER BY 1, 2"
            )
        ).all()
        db.session.rollback()
        return rows


def test_a_dry_run_counts_as_the_import_does_and_leaves_no_trace(
    app: Flask, imported: Importer
) -> None:
    imported(STORED)
    imported(SAME)
    before = traces(app)

    dry = imported(CHANGING, dry_run="true")

    assert traces(app) == before
    assert (dry["status"], dry["result"]["dry_run"]) == ("succeeded", True)
    real = imported(CHANGING)
    assert dry["progress"] == real["progress"]
    assert dry["progress"] == progress(
        total=8, processed=8, created=2, updated=1, unchanged=1, failed=3
    )
    assert dry["errors"] == real["errors"]
    assert "dry_run" not in real["result"]


def test_a_dry_run_tells_what_would_change(imported: Importer) -> None:
    imported(STORED)

    tea, milk, gin, _ = told(imported, imported(CHANGING, dry_run="true"))

    assert tea == {
        "lines": [2, 3],
        "handle": "tea",
        "action": "update",
        "changes": {"vendor": {"from": None, "to": "Leaf"}},
        "variants": [
            {
                "options": {"Size": "M"},
                "action": "create",
                "changes": {
                    "price": {"from": None, "to": "3.00"},
                    "weight_grams": {"from": None, "to": 250.5},
                    "backorder": {"from": None, "to": False},
                },
            }
        ],
    }
    assert (milk["handle"], milk["action"], milk["lines"]) == ("milk", "create", [4])
    assert milk["changes"]["name"] == {"from": None, "to": "Milk"}
    assert milk["variants"][0]["changes"]["price"] == {"from": None, "to": "4.00"}
    assert [variant["options"] for variant in gin["variants"]] == [{"Size": "S"}]


def test_a_dry_run_in_which_nothing_changes_has_an_empty_result_file(imported: Importer) -> None:
    imported(STORED)

    again = imported(STORED, dry_run="true")

    assert again["progress"] == progress(total=2, processed=2, unchanged=1)
    assert told(imported, again) == []


# --- blank --------------------------------------------------------------------------------------


def test_cleared_fields_fall_back_to_their_defaults_and_names_stay(
    admin: FlaskClient, session: Session
) -> None:
    full = {
        "description": "<p>hot</p>",
        "status": "draft",
        "vendor": "Leaf",
        "category": "Drinks",
        "tags": ["green"],
        "images": [{"url": "https://x.example/1"}],
        "metadata": {"a": 1},
    }
    variant = {
        "sku": "T",
        "price": "1",
        "compare_at_price": "2",
        "barcode": "3",
        "weight_grams": 4,
        "stock": 5,
        "backorder": True,
    }
    created(admin, handle="tea", name="Tea", variants=[variant], **full)
    cleared = ProductRows("tea", [2], cleared={*full, "name"})
    cleared.variants = [VariantRow(2, {}, {"stock": 6}, cleared=frozenset(variant))]

    assert staging.plan(session, [cleared]).updated == [0]
    session.rollback()
    assert staging.write(session, [cleared]).updated == [0]
    session.commit()

    tea = product(admin, "tea")
    assert {name: tea[name] for name in full} == {
        **dict.fromkeys(full),
        "status": "active",
        "tags": [],
        "images": [],
        "metadata": {},
    }
    assert tea["name"] == "Tea"
    left = {name: tea["variants"][0][name] for name in variant}
    assert left == {**dict.fromkeys(variant), "stock": 6, "backorder": False}
    assert staging.write(session, [cleared]).unchanged == [0]


def test_blank_cells_clear_where_that_is_asked_for(imported: Importer, admin: FlaskClient) -> None:
    content = "handle,name,vendor,tags,price,stock\ntea,Tea,Leaf,green,1,5\n"
    blank = "handle,name,vendor,price\ntea,,,\n"
    imported(content)

    kept = imported(blank)
    cleared = imported(blank, blank="clear")
    again = imported(blank, blank="clear")

    assert kept["progress"] == progress(total=1, processed=1, unchanged=1)
    assert cleared["progress"] == progress(total=1, processed=1, updated=1)
    assert again["progress"] == progress(total=1, processed=1, unchanged=1)
    tea = product(admin, "tea")
    assert (tea["name"], tea["vendor"], tea["tags"]) == ("Tea", None, ["green"])
    assert [tea["variants"][0][name] for name in ("price", "stock")] == [None, 5]


# --- metadata -----------------------------------------------------------------------------------


def test_metadata_is_merged_one_level_deep(admin: FlaskClient, session: Session) -> None:
    stored = {"a": 1, "per": {"S": "x", "M": "y"}, "deep": {"o": {"p": 1}}}
    created(admin, handle="tea", metadata=stored)
    rows = ProductRows("tea", [2], {"metadata": {"b": [2], "per": {"M": "z"}, "deep": {"o": {}}}})

    staging.write(session, [rows])
    session.commit()

    assert product(admin, "tea")["metadata"] == {
        "a": 1,
        "b": [2],
        "per": {"S": "x", "M": "z"},
        "deep": {"o": {}},
    }


# --- products known by their SKUs -----------------------------------------------------------------


def by_sku(line: int, handle: str, *skus: str, name: str | None = None) -> ProductRows:
    """A product of a file without handles."""
    variants = [
        VariantRow(
            line, {"Size": sku} if len(skus) > 1 else {}, {"sku": sku, "price": Decimal("9.00")}
        )
        for sku in skus
    ] or [VariantRow(line, {}, {"price": Decimal("9.00")})]
    fields = {"name": name or handle} if handle else {}
    return ProductRows(handle, [line], fields, variants=variants, found_by_sku=True)


def test_rows_without_a_handle_mean_the_product_that_has_their_sku(
    admin: FlaskClient, session: Session
) -> None:
    created(admin, handle="tea", sku="T")
    created(admin, handle="mug", variants=[{"sku": "M-S", "options": {"Size": "S"}}])
    created(admin, handle="cup")

    staged = staging.write(
        session,
        [by_sku(2, "te", "T", name="Tea"), by_sku(3, "", "M-S"), by_sku(4, "cup")],
    )
    session.commit()

    assert (staged.updated, staged.refused) == ([0, 1, 2], {})
    assert product(admin, "tea")["name"] == "Tea"
    assert [v["options"] for v in product(admin, "mug")["variants"]] == [{"Size": "S"}]
    assert product(admin, "mug")["variants"][0]["price"] == "9.00"
    assert product(admin, "cup")["variants"][0]["price"] == "9.00"


def test_a_sku_that_is_new_makes_a_new_product_under_a_free_handle(
    admin: FlaskClient, session: Session
) -> None:
    created(admin, handle="tea", sku="T")

    rows = [by_sku(2, "tea", "U"), by_sku(3, "tea", "V"), by_sku(4, "", "W")]
    staged = staging.write(session, rows)
    session.commit()

    assert (staged.created, staged.refused) == ([0, 1], {2: "product_not_found"})
    assert product(admin, "tea")["variants"][0]["sku"] == "T"
    assert product(admin, "tea-2")["variants"][0]["sku"] == "U"
    assert product(admin, "tea-3")["variants"][0]["sku"] == "V"


def test_a_sku_of_several_products_means_the_one_of_its_name_or_none(
    admin: FlaskClient, session: Session
) -> None:
    for handle in ("tea", "mug"):
        created(admin, handle=handle, sku="S")

    staged = staging.plan(session, [by_sku(2, "mug", "S"), by_sku(3, "cup", "S")])

    assert (staged.updated, staged.refused) == ([0], {1: "ambiguous_sku"})


def test_of_rows_that_mean_one_product_the_first_counts(
    admin: FlaskClient, session: Session
) -> None:
    variants = [{"sku": sku, "options": {"Size": sku}} for sku in ("A", "B")]
    created(admin, handle="tea", variants=variants)

    staged = staging.write(session, [by_sku(2, "", "A"), by_sku(3, "", "B"), by_sku(4, "tea")])

    assert staged.updated == [0]
    assert staged.refused == dict.fromkeys((1, 2), "duplicate_product")


def test_a_handle_may_mean_what_a_sku_before_it_has_meant(
    admin: FlaskClient, session: Session
) -> None:
    created(admin, handle="tea", sku="T")

    staged = staging.write(session, [by_sku(2, "", "T"), ProductRows("tea", [3], {"name": "Tea"})])

    assert (staged.updated, staged.refused) == ([0], {1: "duplicate_product"})


# --- on_error -----------------------------------------------------------------------------------

GOOD = "".join(f"p{n},P,,1\n" for n in range(5))


def content_of(rows: str) -> str:
    """A file of these rows: handle, name, size, price."""
    columns = "handle,name,option1_value,price,option1_name\n"
    return columns + "".join(f"{row},Size\n" for row in rows.splitlines())


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("bad", "code", "place"),
    [
        ("tea,Tea,S,1\ntea,,L,free\n", "not_a_number", "Line 8, price"),  # told by reading
        ("tea,,,1\ntea,,L,2\n", "required", "Line 7, name"),  # told by the database
    ],
)
def test_an_import_that_is_to_stop_does_so_before_the_product_of_the_first_refused_row(
    imported: Importer,
    monkeypatch: pytest.MonkeyPatch,
    chunk_rows: int,
    bad: str,
    code: str,
    place: str,
) -> None:
    monkeypatch.setattr(imports, "CHUNK_ROWS", chunk_rows)
    content = content_of(GOOD + bad + "late,Late,,1\nlater,,,1\n")

    job = imported(content, on_error="stop")

    assert (job["status"], job["error"]["code"]) == ("failed", "stopped_at_error")
    assert job["error"]["detail"].startswith(place)
    assert {error["code"] for error in job["errors"]} == {code}
    failed = len({error["line"] for error in job["errors"]})
    assert job["progress"] == progress(total=9, processed=5, created=5, failed=failed)
    after = imported(content_of("late,,,1\n"))
    assert after["errors"][0]["code"] == "required"  # nobody has created it


def test_an_import_that_is_to_stop_and_need_not_does_the_whole_file(imported: Importer) -> None:
    job = imported("handle,name\n" + "tea,Tea\nmilk,Milk\n", on_error="stop")

    assert job["status"] == "succeeded"
    assert job["progress"] == progress(total=2, processed=2, created=2)


def test_a_dry_run_stops_where_the_import_would(imported: Importer) -> None:
    job = imported("handle,name\ntea,Tea\nmilk,\nrum,Rum\n", on_error="stop", dry_run="true")

    assert job["error"]["code"] == "stopped_at_error"
    assert job["progress"] == progress(total=3, processed=1, created=1, failed=1)


# --- what the address takes -----------------------------------------------------------------------


def test_the_options_are_kept_with_the_job(admin: FlaskClient, session: Session) -> None:
    query = {
        "format": "native",
        "mode": "update",
        "dry_run": "true",
        "blank": "clear",
        "on_error": "stop",
        "encoding": "Latin1",
        "delimiter": r"\t",
        "mapping": '{"handle": "Art-Nr", "name": "Artikel"}',
    }

    admin.post(URL, data="x", content_type="text/csv", query_string=query)

    (params,) = session.scalars(select(Job.params))
    assert params == {
        **query,
        "dry_run": True,
        "encoding": "iso8859-1",
        "delimiter": "\t",
        "mapping": {"handle": "Art-Nr", "name": "Artikel"},
    }


@pytest.mark.parametrize(
    ("name", "sent", "code"),
    [
        *(("mode", sent, "not_a_choice") for sent in ("", "delete", "Upsert")),
        *(("dry_run", sent, "not_a_choice") for sent in ("", "1", "yes")),
        ("blank", "drop", "not_a_choice"),
        ("on_error", "ignore", "not_a_choice"),
        *(("encoding", sent, "not_a_choice") for sent in ("", "klingon", "rot13", "base64", "a\0")),
        *(("encoding", sent, "not_a_choice") for sent in ("idna", "utf-7", "x" * 999, "ü")),
        *(("delimiter", sent, "not_a_choice") for sent in ("", " ", ",,", "x", "\n")),
        *(("mapping", sent, "invalid_json") for sent in ("", "name=Artikel", "{", "[" * 9999)),
        *(("mapping", sent, "invalid_type") for sent in ("[]", "{}", "null", '"x"')),
        *(("mapping", f'{{"{sent}": "x"}}', "unknown_field") for sent in ("", "colour", "id")),
        ("mapping", '{"name": 5}', "not_text"),
        ("mapping", '{"name": " "}', "blank"),
        ("mapping", '{"name": "\\ud800"}', "lone_surrogate"),
        ("mapping", '{"name": "a\\u0000"}', "nul_character"),
    ],
)
def test_an_option_that_is_none_is_refused_by_name(
    admin: FlaskClient, name: str, sent: str, code: str
) -> None:
    response = admin.post(URL, data=b"x", content_type="text/csv", query_string={name: sent})

    assert response.status_code == 400
    assert faults_of(response) == [(code, name)]
