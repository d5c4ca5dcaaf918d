"""Imports over HTTP, the job done in this process: what a file does, and what it is told."""

import io
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import imports, staging
from catalog.formats import rows
from catalog.formats.detection import WRITABLE
from catalog.tasks import import_catalogue
from config import settings
from models import StoredFile
from tests.importing import Importer, progress
from tests.stage import created


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def product(admin: FlaskClient, handle: str) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"/api/v1/products/{handle}").get_json()
    return found


NATIVE = """\
handle,name,description,status,vendor,category,tags,images,metadata,option1_name,option1_value,\
sku,price,compare_at_price,barcode,weight_grams,stock,backorder
tea,Tea,<b>hot</b>,active,Leaf,Drinks > Tea,"green, loose",https://x.example/1 https://x.example/2,\
"{""origin"": ""Uji""}",Size,S,T-S,3.5,4,'0123,100.0005,7,true
tea,,,,,,,,,,L,T-L,6.00,,,200,,
"""


def test_a_native_file_becomes_products(imported: Importer, admin: FlaskClient) -> None:
    job = imported(NATIVE)

    assert (job["status"], job["errors"]) == ("succeeded", [])
    assert job["progress"] == progress(total=2, processed=2, created=1)
    assert job["result"] == {
        "format": "native",
        "delimiter": ",",
        "encoding": "utf-8",
        "kept_columns": [],
    }
    tea = product(admin, "tea")
    small, large = tea.pop("variants")
    assert {name: tea[name] for name in ("name", "description", "vendor", "category")} == {
        "name": "Tea",
        "description": "<b>hot</b>",
        "vendor": "Leaf",
        "category": "Drinks > Tea",
    }
    assert tea["tags"] == ["green", "loose"]
    assert [image["url"] for image in tea["images"]] == [
        "https://x.example/1",
        "https://x.example/2",
    ]
    assert tea["metadata"] == {"origin": "Uji"}
    assert (tea["options"], tea["version"]) == (["Size"], 1)
    del small["id"], large["id"]
    assert small == {
        "options": {"Size": "S"},
        "sku": "T-S",
        "price": "3.50",
        "compare_at_price": "4.00",
        "barcode": "0123",
        "weight_grams": 100.0,
        "stock": 7,
        "backorder": True,
    }
    assert large["options"] == {"Size": "L"}
    assert (large["stock"], large["backorder"]) == (None, False)


def test_importing_the_same_file_again_changes_nothing(
    imported: Importer, admin: FlaskClient
) -> None:
    imported(NATIVE)
    before = product(admin, "tea")

    job = imported(NATIVE)

    assert job["progress"] == progress(total=2, processed=2, unchanged=1)
    assert product(admin, "tea") == before


def test_blank_cells_and_absent_columns_keep_what_is_stored(
    imported: Importer, admin: FlaskClient
) -> None:
    imported(NATIVE)
    before = product(admin, "tea")

    job = imported("handle,vendor,option1_name,option1_value,price\ntea,,Size,S,9\n")

    assert job["progress"] == progress(total=1, processed=1, updated=1)
    after = product(admin, "tea")
    assert after["variants"][0] == {**before["variants"][0], "price": "9.00"}
    assert after["variants"][1] == before["variants"][1]
    assert {**after, "variants": 0, "version": 0, "updated_at": 0} == {
        **before,
        "variants": 0,
        "version": 0,
        "updated_at": 0,
    }
    assert after["version"] == 2


def test_images_are_added_and_never_removed(imported: Importer, admin: FlaskClient) -> None:
    created(
        admin,
        handle="tea",
        images=[{"url": "https://x.example/1", "alt": "old"}, {"url": "https://x.example/2"}],
    )

    imported(
        "Handle,Title,Image Src,Image Position,Image Alt Text\n"
        "tea,Tea,https://x.example/3,2.0,third\n"
        "tea,,https://x.example/1,1.0,\n"
        "tea,,https://x.example/2,3.0,second\n"
    )

    assert product(admin, "tea")["images"] == [
        {"url": "https://x.example/1", "alt": "old"},
        {"url": "https://x.example/2", "alt": "second"},
        {"url": "https://x.example/3", "alt": "third"},
    ]


@pytest.mark.parametrize(
    ("cell", "column", "code"),
    [
        ("1.55E+15", "sku", "spreadsheet_number"),
        ("4.6347E+11", "barcode", "spreadsheet_number"),
        ("12.345", "price", "too_many_decimals"),
        ("-1", "price", "negative"),
        ("free", "price", "not_a_number"),
        ("1e3", "compare_at_price", "not_a_number"),
        ("NaN", "weight_grams", "not_a_number"),
        ("1.5", "stock", "not_an_integer"),
        ("99999999999", "stock", "too_large"),
        ("maybe", "backorder", "not_a_boolean"),
        ("x" * 300, "option1_value", "too_long"),
        ("a\0b", "sku", "nul_character"),
    ],
)
def test_a_wrong_variant_cell_refuses_its_row_alone(
    imported: Importer, admin: FlaskClient, cell: str, column: str, code: str
) -> None:
    heading = "handle,name,option1_name,option1_value,sku,price,compare_at_price,barcode"
    heading += ",weight_grams,stock,backorder"
    columns = heading.split(",")
    good = {"handle": "tea", "name": "Tea", "option1_name": "Size"}
    rows = [{**good, "option1_value": "S"}, {**good, "option1_value": "L", column: cell}]
    content = "\n".join([heading, *(",".join(row.get(c, "") for c in columns) for row in rows)])

    job = imported(content)

    assert job["status"] == "succeeded"
    assert job["progress"] == progress(total=2, processed=2, created=1, failed=1)
    (error,) = job["errors"]
    assert (error["line"], error["column"], error["code"]) == (3, column, code)
    assert error["value"] == cell.replace("\0", "")[:200]
    assert [v["options"] for v in product(admin, "tea")["variants"]] == [{"Size": "S"}]


def test_a_wrong_product_cell_refuses_the_product_with_all_its_rows(
    imported: Importer, admin: FlaskClient
) -> None:
    job = imported(
        "handle,name,status,option1_name,option1_value\n"
        "tea,Tea,,Size,S\ntea,,brewing,,L\ncoffee,Coffee,,,\n"
    )

    assert job["progress"] == progress(total=3, processed=3, created=1, failed=2)
    assert [(e["line"], e["column"], e["value"], e["code"]) for e in job["errors"]] == [
        (2, None, None, "product_refused"),
        (3, "status", "brewing", "not_a_choice"),
    ]
    assert admin.get("/api/v1/products/tea").status_code == 404


def test_a_product_of_which_no_variant_is_left_is_refused(
    imported: Importer, admin: FlaskClient
) -> None:
    job = imported(
        "Handle,Title,Variant Price,Image Src\ntea,Tea,free,\ntea,,,https://x.example/1\n"
    )

    assert [(e["line"], e["column"], e["code"]) for e in job["errors"]] == [
        (2, "Variant Price", "not_a_number"),
        (3, None, "product_refused"),
    ]
    assert admin.get("/api/v1/products/tea").status_code == 404


def test_rows_with_too_few_or_too_many_cells_are_refused_and_never_shifted(
    imported: Importer,
) -> None:
    job = imported("handle,name,price\ntea,Tea\ncoffee,Coffee,3,4\nmilk,Milk,1\n")

    assert [(e["line"], e["code"], e["detail"]) for e in job["errors"]] == [
        (2, "ragged_row", "has 2 cells, the heading 3"),
        (3, "ragged_row", "has 4 cells, the heading 3"),
    ]
    assert job["progress"] == progress(total=3, processed=3, created=1, failed=2)


def test_a_row_without_a_handle_is_refused_and_one_of_blanks_is_not(imported: Importer) -> None:
    job = imported("handle,name\n,Tea\n , \ncoffee,Coffee\n")

    assert [(e["line"], e["column"], e["code"]) for e in job["errors"]] == [
        (2, "handle", "required")
    ]
    assert job["progress"] == progress(total=3, processed=3, created=1, failed=1)


def test_two_variants_with_the_same_options_cannot_be_told_apart(imported: Importer) -> None:
    job = imported(
        "handle,name,option1_name,option1_value,price\ntea,Tea,Size,S,1\ntea,,,S,2\ntea,,,L,3\n"
    )

    assert [(e["line"], e["value"], e["code"]) for e in job["errors"]] == [
        (3, "Size: S", "duplicate_variant")
    ]
    assert "line 2" in job["errors"][0]["detail"]


def test_a_new_product_needs_a_name(imported: Importer, admin: FlaskClient) -> None:
    created(admin, handle="tea", name="Tea")

    job = imported("Handle,Title,Variant Price\ntea,,3\ncoffee,,4\n")

    assert [(e["line"], e["column"], e["code"]) for e in job["errors"]] == [
        (3, "Title", "required")
    ]
    assert job["progress"] == progress(total=2, processed=2, updated=1, failed=1)


def test_a_row_without_options_adds_no_variant_to_a_product_that_has_options(
    imported: Importer, admin: FlaskClient
) -> None:
    imported(NATIVE)
    imported("handle,name,price\nmilk,Milk,1\n")

    job = imported("handle,name,price\ntea,Green Tea,\nmilk,,2\n")
    refused = imported("handle,price\ntea,9\n")

    assert job["progress"] == progress(total=2, processed=2, updated=2)
    assert product(admin, "tea")["name"] == "Green Tea"
    assert product(admin, "milk")["variants"][0]["price"] == "2.00"
    assert [(e["line"], e["code"]) for e in refused["errors"]] == [(2, "options_missing")]
    assert [v["price"] for v in product(admin, "tea")["variants"]] == ["3.50", "6.00"]


def test_rows_of_a_product_need_not_be_adjacent(imported: Importer, admin: FlaskClient) -> None:
    job = imported(
        "handle,name,option1_name,option1_value\n"
        "tea,Tea,Size,S\ncoffee,Coffee,,\ntea,,Size,L\nmilk,Milk,,\n"
    )

    assert job["progress"] == progress(total=4, processed=4, created=3)
    assert [v["options"]["Size"] for v in product(admin, "tea")["variants"]] == ["S", "L"]


def test_what_is_not_published_or_only_unlisted_is_no_visitors_business(
    imported: Importer, admin: FlaskClient
) -> None:
    imported(
        "Handle,Title,Published,Status\n"
        "a,A,TRUE,active\nb,B,false,active\nc,C,true,draft\nd,D,true,unlisted\ne,E,,Archived\n"
        "f,F,true     ,\n"
    )

    statuses = {handle: product(admin, handle)["status"] for handle in "abcdef"}
    assert statuses == {
        "a": "active",
        "b": "draft",
        "c": "draft",
        "d": "draft",
        "e": "archived",
        "f": "active",
    }


def test_shopify_counts_stock_only_where_it_names_a_tracker(
    imported: Importer, admin: FlaskClient
) -> None:
    imported(
        "Handle,Title,Option1 Name,Option1 Value,Variant Inventory Tracker,"
        "Variant Inventory Qty,Variant Inventory Policy\n"
        "tea,Tea,Size,S,shopify,-3,continue\ntea,,,L,,0,deny\n"
        "milk,Milk,Title,Default Title,,,\n"
    )

    variants = product(admin, "tea")["variants"]
    assert [(v["stock"], v["backorder"]) for v in variants] == [(-3, True), (None, False)]
    assert product(admin, "milk")["variants"][0]["options"] == {}
    assert product(admin, "milk")["options"] == []


def test_an_unreadable_file_fails_with_its_reason_and_no_effect(
    imported: Importer, admin: FlaskClient
) -> None:
    job = imported("handle,name\n" + "tea,Tea\n" * 5 + 'milk,"Milk\n')

    assert job["status"] == "failed"
    assert job["error"]["code"] == "unclosed_quote"
    assert "Line 7" in job["error"]["detail"]
    assert (job["ready"], job["successful"]) == (True, False)
    assert admin.get("/api/v1/products").get_json()["data"] == []


def test_an_unknown_column_is_told_and_does_no_harm(imported: Importer) -> None:
    job = imported("handle,name,colour\ntea,Tea,green\n")

    assert job["result"]["kept_columns"] == ["colour"]
    assert job["progress"]["created"] == 1


def test_a_deleted_product_is_created_anew(imported: Importer, admin: FlaskClient) -> None:
    imported(NATIVE)
    before = product(admin, "tea")
    admin.delete("/api/v1/products/tea")

    job = imported(NATIVE)

    assert job["progress"]["created"] == 1
    assert product(admin, "tea")["id"] != before["id"]


def test_files_of_many_chunks_count_every_row_once(
    imported: Importer, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK_ROWS", 10)
    rows = "".join(f"p{n},P {n},{'x' if n % 7 == 0 else n}\n" for n in range(1, 101))

    job = imported("handle,name,price\n" + rows)

    assert job["progress"] == progress(total=100, processed=100, created=86, failed=14)
    assert [error["line"] for error in job["errors"]] == [n + 1 for n in range(7, 101, 7)]


INVENTORY = "Handle,Title,Option1 Name,Option1 Value,Location,Available\n"


@pytest.mark.parametrize("query", [{}, {"dry_run": "true"}])
def test_an_inventory_creates_no_variant(
    imported: Importer, admin: FlaskClient, query: dict[str, str]
) -> None:
    imported("handle,name,option1_name,option1_value,stock\ntea,Tea,Size,S,1\n")

    job = imported(
        INVENTORY + "tea,,Size,S,Here,5\ntea,,Size,XXL,Here,5\ntea,,Size,XXL,There,6\n", **query
    )

    assert [(error["line"], error["code"]) for error in job["errors"]] == [
        (3, "variant_not_found"),
        (4, "variant_not_found"),
    ]
    assert job["progress"] == progress(total=3, processed=3, updated=1, failed=2)
    tea = admin.get("/api/v1/products/tea").get_json()
    stock = 1 if query else 5
    assert [(v["options"], v["stock"]) for v in tea["variants"]] == [({"Size": "S"}, stock)]


def test_an_inventory_adds_up_no_product_whose_rows_are_not_all_there(
    imported: Importer, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_HELD_ROWS", 3)
    names = [f"p{n}" for n in range(5)]
    imported("handle,name,stock\n" + "".join(f"{name},P,1\n" for name in names))
    counts = [f"{name},,,,{place},2\n" for place in ("Here", "There") for name in names]

    job = imported(INVENTORY + "".join(counts))

    errors = {(error["line"], error["code"]) for error in job["errors"]}
    assert errors
    assert {code for _, code in errors} == {"incomplete"}
    refused = {counts[line - 2].partition(",")[0] for line, _ in errors}
    assert len(errors) == 2 * len(refused)
    assert {name: product(admin, name)["variants"][0]["stock"] for name in names} == {
        name: 1 if name in refused else 4 for name in names
    }


def test_no_import_makes_a_product_of_more_than_it_may_hold(
    imported: Importer, admin: FlaskClient
) -> None:
    def images(letter: str) -> str:
        urls = " ".join(f"https://x.example/{letter}{n}" for n in range(150))
        return f'handle,name,images\ntea,Tea,"{urls}"\nmug,Mug,\n'

    imported(images("a"))
    job = imported(images("b"))

    assert [(e["line"], e["column"], e["code"]) for e in job["errors"]] == [
        (2, "images", "too_many_images")
    ]
    assert len(product(admin, "tea")["images"]) == 150
    assert job["progress"] == progress(total=2, processed=2, unchanged=1, failed=1)


def test_long_descriptions_come_in_chunks_of_few(
    imported: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_CHUNK_CHARACTERS", 1000)
    sizes: list[int] = []
    write = staging.write

    def noted(session: Any, products: Any, *args: Any, **options: Any) -> Any:
        sizes.append(len(products))
        return write(session, products, *args, **options)

    monkeypatch.setattr(staging, "write", noted)

    job = imported("handle,name,description\n" + "".join(f"p{n},P,{'x' * 400}\n" for n in range(7)))

    assert job["progress"]["created"] == 7
    assert sizes == [2, 2, 2, 1]


def test_a_row_about_a_product_with_options_adds_no_variant(
    imported: Importer, admin: FlaskClient
) -> None:
    """As an export of Shopify has it whose columns of images somebody has deleted."""
    job = imported(
        "Handle,Title,Option1 Name,Option1 Value,Variant Price\n"
        "tea,Tea,Size,S,3\ntea,,,M,4\ntea,,,,\ntea,,,,\n"
        "mug,Mug,,,\nmug,,Size,L,5\n"
    )

    assert job["errors"] == []
    for handle, sizes in (("tea", ["S", "M"]), ("mug", ["L"])):
        variants = admin.get(f"/api/v1/products/{handle}").get_json()["variants"]
        assert [variant["options"] for variant in variants] == [{"Size": size} for size in sizes]


@pytest.mark.parametrize("format_", WRITABLE)
def test_an_image_that_is_there_twice_stays_twice(
    imported: Importer, admin: FlaskClient, format_: str
) -> None:
    images = [{"url": f"https://x.example/{n}", "alt": f"alt {n}"} for n in (1, 1, 2)]
    created(admin, handle="tea", images=images)

    job = imported(imported.export(format=format_)["file"], format=format_)

    assert job["progress"]["unchanged"] == 1
    assert admin.get("/api/v1/products/tea").get_json()["images"] == images


@pytest.mark.parametrize(
    "content", ['{"\\u0000": 1}', '[{"\\ud800": 1}]', "na\0me of,no,format that we know" + "x" * 99]
)
def test_names_that_cannot_be_stored_are_named_as_far_as_they_can(
    imported: Importer, content: str
) -> None:
    job = imported(content)

    assert (job["status"], job["error"]["code"]) == ("failed", "unknown_format")


def test_a_column_that_is_kept_has_a_name_that_can_be_stored(
    imported: Importer, admin: FlaskClient
) -> None:
    job = imported(f"handle,name,description,Gro\u0308\u00dfe,a\0b\ntea,Tea,{'x' * 200},3,4\n")

    assert job["status"] == "succeeded"
    metadata = admin.get("/api/v1/products/tea").get_json()["metadata"]
    assert metadata == {"Gr\u00f6\u00dfe": "3", "ab": "4"}


def test_a_form_brings_the_file_too(app: Flask, admin: FlaskClient) -> None:
    rows = "".join(f"p{n},P,{'x' * 900}\r\n" for n in range(2000))
    form = (
        '--cut\r\nContent-Disposition: form-data; name="file"; filename="catalogue.csv"\r\n\r\n'
        f"handle,name,description\r\n{rows}\r\n--cut--\r\n"
    )

    response = admin.post(
        "/api/v1/imports", data=form, content_type="multipart/form-data; boundary=cut"
    )

    assert response.status_code == 202
    with app.app_context():
        import_catalogue.run(response.get_json()["id"])
    assert admin.get(response.headers["Location"]).get_json()["progress"]["created"] == 2000


def test_a_files_name_is_kept_as_far_as_it_can_be_shown(
    admin: FlaskClient, session: Session
) -> None:
    form = (
        "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''a%00b%0Ac.csv"
        "\r\n\r\nname\nTee\r\n--cut--\r\n"
    )

    response = admin.post(
        "/api/v1/imports", data=form, content_type="multipart/form-data; boundary=cut"
    )

    assert response.status_code == 202, response.text
    assert session.scalars(select(StoredFile.filename)).one() == "abc.csv"


def test_a_field_that_is_no_file_is_not_taken_into_memory(admin: FlaskClient) -> None:
    class Body(io.RawIOBase):
        read_bytes = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            head = b'--cut\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
            piece = (head if not self.read_bytes else b"x" * len(buffer))[: len(buffer)]
            buffer[: len(piece)] = piece
            self.read_bytes += len(piece)
            return len(piece)

    body = Body()
    response = admin.post(
        "/api/v1/imports",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": "4000000"},
        content_type="multipart/form-data; boundary=cut",
    )

    assert (response.status_code, response.get_json()["code"]) == (422, "invalid")
    assert body.read_bytes < 2_000_000


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"data": b"x", "content_type": "text/xml"}, 415, "unsupported_media_type"),
        ({"data": b"", "content_type": "text/csv"}, 422, "empty_file"),
        ({"data": {"other": (io.BytesIO(b"x"), "x.csv")}}, 422, "invalid"),
        ({"data": {"file": (io.BytesIO(b"x"), "x"), "name": "y"}}, 422, "invalid"),
        ({"data": {}, "content_type": "multipart/form-data; boundary=x"}, 422, "invalid"),
        (
            {"data": b"x", "content_type": "text/csv", "query_string": "format=xml"},
            400,
            "not_a_choice",
        ),
        (
            {"data": b"x", "content_type": "text/csv", "query_string": "dry=1"},
            400,
            "unknown_parameter",
        ),
    ],
)
def test_what_is_no_catalogue_file_is_refused_at_the_door(
    admin: FlaskClient, request_: dict[str, Any], status: int, code: str
) -> None:
    response = admin.post("/api/v1/imports", **request_)

    assert (response.status_code, response.get_json()["code"]) == (status, code)


def test_a_file_that_is_too_large_is_refused_and_not_kept(
    admin: FlaskClient, session: Session
) -> None:
    body = b"x" * (settings.max_import_bytes + 1)

    response = admin.post("/api/v1/imports", data=body, content_type="text/csv")

    assert (response.status_code, response.get_json()["code"]) == (413, "too_large")
    assert session.scalar(select(func.count()).select_from(StoredFile)) == 0


def test_an_import_needs_a_key(client: FlaskClient) -> None:
    response = client.post("/api/v1/imports", data=b"handle\n", content_type="text/csv")

    assert response.status_code == 401


def test_the_errors_of_a_job_come_in_pages(imported: Importer, admin: FlaskClient) -> None:
    job = imported("handle,name,price\n" + "".join(f"p{n},P,x\n" for n in range(5)))

    url, seen = job["links"]["errors"] + "?limit=2", []
    while url:
        page = admin.get(url).get_json()
        seen += [error["line"] for error in page["data"]]
        url = page["next"]

    assert seen == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/1", "/api/v1/jobs/9" + "9" * 30, "/api/v1/jobs/1/errors"]
)
def test_a_job_that_is_not_there_is_not_found(admin: FlaskClient, path: str) -> None:
    response = admin.get(path)

    assert (response.status_code, response.get_json()["code"]) == (404, "job_not_found")
