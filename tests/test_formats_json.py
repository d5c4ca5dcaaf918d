"""NDJSON and JSON arrays of product objects: what is read, and what is refused, and where."""

import io
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from catalog.formats import detection, json_array
from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Extent, Options, ProductRows, Reader, Refusal, groups, survey
from errors import Unreadable
from tests.importing import Importer, progress
from tests.stage import created

TEA: dict[str, Any] = {
    "handle": "tea",
    "name": "Tea",
    "description": None,
    "tags": ["green"],
    "metadata": {"grams": 1.5},
    "images": [{"url": "https://x.example/1", "alt": "Leaf"}],
    "variants": [
        {"id": 7, "options": {"Size": "S"}, "price": "3.50", "stock": None},
        {"options": {"Size": "L"}, "sku": "T-L", "price": 6, "weight_grams": 0.5},
    ],
    "version": 3,
}


def opened(content: bytes, name: str | None = None) -> Reader:
    return open_catalogue(
        lambda: io.BytesIO(content),  # type: ignore[arg-type,return-value]  # any stream will do
        Options(format=name),
    )


def read_all(reader: Reader) -> tuple[list[ProductRows], list[Refusal]]:
    last_row = survey(key for key, _ in reader.keyed()).last_row
    read = [reader.read(group) for group in groups(reader.keyed(), last_row)]
    products = [product for product, _ in read if product is not None]
    return products, [refusal for _, refusals in read for refusal in refusals]


def ndjson(*lines: Any) -> bytes:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return b"\n".join(texts)


def array(*elements: Any) -> bytes:
    texts = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in elements]
    return b"[\n" + b",\n".join(texts) + b"\n]\n"


@pytest.mark.parametrize(
    ("content", "name", "line"),
    [
        (ndjson(b"", TEA), "ndjson", 2),
        (b"\xef\xbb\xbf" + ndjson(TEA), "ndjson", 1),
        (array(TEA), "json", 2),
        (json.dumps([TEA], indent=2).encode("utf-16"), "json", 2),
        (json.dumps({"data": [TEA], "next": None}).encode(), "json", 1),
    ],
)
def test_an_object_of_the_api_is_a_product(content: bytes, name: str, line: int) -> None:
    reader = opened(content)
    ((product,), refusals) = read_all(reader)

    assert refusals == []
    assert reader.about["format"] == name
    assert (product.handle, product.lines, product.options) == ("tea", [line], ["Size"])
    assert product.fields == {"name": "Tea", "tags": ["green"], "metadata": {"grams": 1.5}}
    assert product.cleared == {"description"}
    assert product.images == TEA["images"]
    small, large = product.variants
    assert (small.options, small.fields) == ({"Size": "S"}, {"price": Decimal("3.50")})
    assert small.cleared == {"stock"}
    assert large.fields == {
        "sku": "T-L",
        "price": Decimal("6.00"),
        "weight_grams": Decimal("0.500"),
    }
    assert large.cleared == set()


@pytest.mark.parametrize(
    ("sent", "column", "value", "code"),
    [
        ({"handle": "x", "price": "1,5"}, "/price", "1,5", "not_a_number"),
        (
            {"handle": "x", "variants": [{"stock": 1.5}]},
            "/variants/0/stock",
            "1.5",
            "not_an_integer",
        ),
        ({"handle": "x", "colour": {"a": 1}}, "/colour", '{"a": 1}', "unknown_field"),
        ({"handle": "x", "images": [{"alt": "a"}]}, "/images/0/url", None, "required"),
        ({"handle": "x", "metadata": {"a": "\ud800"}}, "/metadata", '{"a": "\\ud800"}', None),
        ({"price": 3}, "/handle", None, "required"),
        (b'{"handle": "x", "price": NaN}', None, '{"handle": "x", "price": NaN}', "invalid_json"),
        (b'{"handle": "x", "handle": "y"}', None, '{"handle": "x"', "duplicate_name"),
        (b'{"handle": "\xff"}', None, '{"handle": "?"}', "invalid_encoding"),
        (b"[" * 200 + b"]" * 200, None, "[[[", "invalid_json"),
        (b"5", None, "5", "invalid_type"),
    ],
)
@pytest.mark.parametrize("form", [ndjson, array])
def test_a_wrong_object_fails_alone(
    form: Any, sent: Any, column: str | None, value: str | None, code: str | None
) -> None:
    products, refusals = read_all(opened(form({"handle": "a"}, sent, {"handle": "b"})))

    assert [product.handle for product in products] == ["a", "b"]
    (refusal,) = refusals
    assert refusal.line == (2 if form is ndjson else 3)
    assert refusal.column == column
    assert refusal.code == (code or "lone_surrogate")
    assert (refusal.value or "").startswith(value or "")
    assert (refusal.value or "").isprintable()  # PostgreSQL can store it


def test_a_line_that_is_not_json_fails_alone() -> None:
    products, refusals = read_all(opened(ndjson({"handle": "a"}, b'{"handle"', {"handle": "b"})))

    assert [product.handle for product in products] == ["a", "b"]
    assert [(r.line, r.value, r.code) for r in refusals] == [(2, '{"handle"', "invalid_json")]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"[1 2]", "Line 1 is not JSON: a comma"),
        (b"[\n{},\n]", "Line 3 is not JSON: Expecting value"),
        (b'[\n{"a": 1}', "Line 2 is not JSON: a comma or the end"),
        (b'[\n\n{"a": "x', "Line 3 is not JSON: Unterminated string"),
        (b'[{}, {"a": tru}, {}]' + b" " * 99, "Line 1 is not JSON: Expecting value"),
        (b"[] x", "Line 1 is not JSON: something follows"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_an_array_that_breaks_off_ends_the_reading(content: bytes, detail: str) -> None:
    with pytest.raises(Unreadable, match=detail):
        read_all(opened(content, "json"))


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_an_array_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_array, "_CHUNK", chunk)
    monkeypatch.setattr(json_array, "_START", re.compile(r"(x)?\["))
    names = ["é" * n + '\\" ]},{' for n in range(30)]
    sent = [{"handle": f"h{n}", "name": name, "stock": -n} for n, name in enumerate(names)]

    products, refusals = read_all(opened(json.dumps(sent, indent=1).encode(), "json"))

    assert refusals == []
    assert [product.fields["name"] for product in products] == names
    assert [product.lines for product in products] == [[2 + 5 * n] for n in range(30)]


def test_elements_that_share_a_line_are_told_apart() -> None:
    products, refusals = read_all(opened(b'[{"handle":"a"},5,{"handle":"b"}]'))

    assert [product.lines for product in products] == [[1], [3]]
    assert [refusal.line for refusal in refusals] == [2]


def test_an_object_too_long_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_OBJECT", 100_000)

    with pytest.raises(Unreadable, match="element in line 2 is too long"):
        read_all(opened(array({"handle": "a", "name": "x" * 500_000}), "json"))


def test_a_product_given_twice_counts_once() -> None:
    sent = [{"handle": "a", "price": "x"}, {"handle": "a", "name": "A"}, {"handle": "a"}]

    (product,), refusals = read_all(opened(ndjson(*sent)))

    assert (product.lines, product.fields) == ([2], {"name": "A"})
    assert [(r.line, r.code) for r in refusals] == [(1, "not_a_number"), (3, "duplicate_item")]


def test_without_a_handle_the_sku_or_the_name_tells() -> None:
    sent = [{"sku": "K/1", "price": 3}, {"name": "Green Tea"}]

    products, _ = read_all(opened(ndjson(*sent), "ndjson"))

    assert [(p.handle, p.found_by_sku) for p in products] == [("", True), ("green-tea", False)]


def test_foreign_objects_are_told_to_need_a_mapping() -> None:
    with pytest.raises(Unreadable, match=r"mapping.*pk, fields") as caught:
        opened(array(*[{"pk": n, "fields": {}} for n in range(3)]))
    assert caught.value.error_code == "unknown_format"


def test_refused_objects_come_back_to_be_mended() -> None:
    refused = {"handle": "b", "price": "x", "metadata": {"grams": 1.5}}
    reader = opened(ndjson({"handle": "a"}, refused, b'{"handle"'))
    _, refusals = read_all(reader)

    report = b"".join(reader.report({r.line: r.code for r in refusals}))

    first, second = (json.loads(line) for line in report.splitlines())
    assert first == {**refused, "_line": 2, "_error": "not_a_number"}
    assert (second["_text"], second["_line"]) == ('{"handle"', 3)
    mended = {**first, "price": "1"}
    assert [p.fields for p in read_all(opened(ndjson(mended)))[0]] == [{"metadata": {"grams": 1.5}}]


# --- through the API ----------------------------------------------------------------------------


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def written(name: str, products: Sequence[dict[str, Any]]) -> bytes:
    extent = Extent(metadata=sorted({k for p in products for k in p["metadata"]}), options=3)
    writer = detection.writer(name, extent)
    return writer.head() + writer.rows(products) + writer.tail()


@pytest.mark.parametrize("name", ["ndjson", "native"])
def test_what_is_written_changes_nothing_when_it_is_read(
    imported: Importer, admin: FlaskClient, name: str
) -> None:
    given = [
        comparable(TEA),
        {
            "handle": "=odd",
            "name": "-1+1",
            "description": " ",
            "tags": ["a, b", "'c"],
            "options": ["B", "A", "Unused"],
            "images": [{"url": "https://x.example/1"}, {"url": "https://x.example/2", "alt": "="}],
            "metadata": {"n": {"x": [None, True]}, "=x": "@y"},
            "variants": [
                {"options": {"A": "=1"}, "sku": "'007", "barcode": "1E+5", "stock": -2},
                {"options": {"B": "b", "A": "2"}, "weight_grams": 453.592, "backorder": True},
                {},
            ],
        },
        {"handle": "bare", "name": "Bare"},
    ]
    for sent in given:
        created(admin, **sent)
    documents = admin.get("/api/v1/products?sort=id").get_json()["data"]

    file = written(name, documents)
    job = imported(file)

    assert job["errors"] == []
    assert (job["progress"]["unchanged"], job["progress"]["updated"]) == (3, 0)

    for document in documents:
        admin.delete(f"/api/v1/products/{document['id']}")
    assert imported(file)["progress"]["created"] == 3
    assert [comparable(p) for p in admin.get("/api/v1/products?sort=id").get_json()["data"]] == [
        comparable(p) for p in documents
    ]


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """A product without what the server gives."""
    own = ("id", "version", "created_at", "updated_at")
    variants = [{k: v for k, v in variant.items() if k != "id"} for variant in document["variants"]]
    return {k: v for k, v in document.items() if k not in own} | {"variants": variants}


def test_null_clears_and_absence_keeps(imported: Importer, admin: FlaskClient) -> None:
    created(admin, handle="tea", name="Tea", vendor="Leaf", description="hot", price=3, stock=5)

    job = imported(ndjson({"handle": "tea", "description": None, "stock": None}))

    assert job["progress"] == progress(total=1, processed=1, updated=1)
    tea = admin.get("/api/v1/products/tea").get_json()
    assert (tea["description"], tea["vendor"]) == (None, "Leaf")
    assert (tea["variants"][0]["stock"], tea["variants"][0]["price"]) == (None, "3.00")


def test_variants_keep_the_order_of_their_object(imported: Importer, admin: FlaskClient) -> None:
    # Of various widths, which PostgreSQL does not store in the order in which they come.
    objects = [
        {"handle": f"t-{n}", "name": "T", "variants": [variant_of(n, k) for k in range(6)]}
        for n in range(600)
    ]

    imported(ndjson(*objects))

    page = admin.get("/api/v1/products?limit=200&sort=-id").get_json()
    for product in page["data"]:
        assert [variant["options"]["Size"] for variant in product["variants"]] == list("012345")


def variant_of(product: int, size: int) -> dict[str, Any]:
    """A variant whose SKU is as long as it happens to be."""
    return {"options": {"Size": str(size)}, "sku": "x" * (1 + (product * 7 + size * 31) % 100)}
