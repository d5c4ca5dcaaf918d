"""`If-Match`, `If-None-Match` on writing (RFC 9110 §13), and `REQUIRE_IF_MATCH`."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from config import settings
from tests.stage import created, faults_of

URL = "/api/v1/products"
WRITES = [("PUT", ""), ("PATCH", ""), ("DELETE", None), ("PATCH", "variant")]
TITLES = ["put", "patch", "delete", "patch a variant"]
writes = pytest.mark.parametrize(("method", "part"), WRITES, ids=TITLES)


def write(admin: FlaskClient, method: str, part: str | None, **headers: str) -> TestResponse:
    """The answer to a change of the product `tee`, or of its variant by the SKU `A`."""
    sent = {headers_name.replace("_", "-"): value for headers_name, value in headers.items()}
    if part == "variant":
        return admin.patch("/api/v1/variants/A", json={"stock": 9}, headers=sent)
    body = {} if part is None else {"json": {"name": "Changed"}}
    return admin.open(f"{URL}/tee", method=method, headers=sent, **body)  # type: ignore[arg-type]


@pytest.fixture
def tee(admin: FlaskClient) -> dict[str, Any]:
    """The product `tee`, with one variant of the SKU `A`."""
    return created(admin, handle="tee", sku="A", stock=3)


def tag(admin: FlaskClient) -> str:
    """The product's ETag as it stands."""
    return admin.get(f"{URL}/tee").headers["ETag"]


def version(admin: FlaskClient) -> int:
    """The product's version as it stands."""
    return int(admin.get(f"{URL}/tee").get_json()["version"])


# --- If-Match ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("tee")
@writes
def test_the_current_tag_lets_a_write_pass(
    admin: FlaskClient, method: str, part: str | None
) -> None:
    response = write(admin, method, part, If_Match=tag(admin))

    assert response.status_code in (200, 204), response.text


@pytest.mark.usefixtures("tee")
@writes
def test_a_stale_tag_does_not(admin: FlaskClient, method: str, part: str | None) -> None:
    stale = tag(admin)
    admin.patch(f"{URL}/tee", json={"vendor": "Somebody else"})

    response = write(admin, method, part, If_Match=stale)

    assert response.status_code == 412
    assert response.get_json()["code"] == "precondition_failed"
    assert version(admin) == 2


@pytest.mark.usefixtures("tee")
def test_an_answer_brings_the_tag_for_the_next_write(admin: FlaskClient) -> None:
    first = admin.put(
        f"{URL}/tee", json={"name": "A", "sku": "A"}, headers={"If-Match": tag(admin)}
    )
    second = write(admin, "PATCH", "", If_Match=first.headers["ETag"])
    third = write(admin, "PATCH", "variant", If_Match=second.headers["ETag"])
    last = write(admin, "DELETE", None, If_Match=third.headers["ETag"])

    assert [r.status_code for r in (first, second, third, last)] == [200, 200, 200, 204]


@pytest.mark.usefixtures("tee")
@writes
def test_a_star_is_whatever_exists(admin: FlaskClient, method: str, part: str | None) -> None:
    assert write(admin, method, part, If_Match=" * ").status_code in (200, 204)


@pytest.mark.parametrize("value", ["*", '"1.1.0"'])
def test_nothing_matches_what_is_not_there(admin: FlaskClient, value: str) -> None:
    made = write(admin, "PUT", "", If_Match=value)

    assert made.status_code == 412
    assert admin.get(f"{URL}/tee").status_code == 404
    # Without the condition these would be 404, which comes first (§13.2.1).
    for method, part in WRITES[1:]:
        assert write(admin, method, part, If_Match=value).status_code == 404
    assert admin.put(f"{URL}/5", json={}, headers={"If-Match": value}).status_code == 404


@pytest.mark.usefixtures("tee")
@pytest.mark.parametrize(
    "pattern", ['"x", {}', '{},"x"', '"a,b" , W/"c",, {} ,', ', {}\t', '"\x80\xff" , {}']
)  # fmt: skip
def test_one_of_a_list_is_enough(admin: FlaskClient, pattern: str) -> None:
    assert write(admin, "PATCH", "", If_Match=pattern.format(tag(admin))).status_code == 200


@pytest.mark.usefixtures("tee")
def test_a_weak_tag_matches_nothing(admin: FlaskClient) -> None:
    assert write(admin, "PATCH", "", If_Match=f"W/{tag(admin)}").status_code == 412


@pytest.mark.usefixtures("tee")
@pytest.mark.parametrize(
    "value",
    ['""', '"x"', '"1"', '"*"', '"1.1"', '"a.b.c"', f'"{"9" * 30}.1.0"', '"-1.1.0"', '"1.1.0.0"'],
)
def test_the_tag_of_somebody_else_matches_nothing(admin: FlaskClient, value: str) -> None:
    assert write(admin, "PATCH", "", If_Match=value).status_code == 412


@pytest.mark.usefixtures("tee")
@writes
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    "value",
    ["", " ", ",", "1.1.0", '"1.1.0', '1.1.0"', '"a" "b"', '"a"x', "*, *", '*,"a"', 'w/"a"', "W/a",
     '"a b"', "'a'", '"a""b"'],
)  # fmt: skip
def test_what_is_no_tag_is_refused_by_the_headers_name(
    admin: FlaskClient, method: str, part: str | None, header: str, value: str
) -> None:
    response = write(admin, method, part, **{header.replace("-", "_"): value})

    assert response.status_code == 400
    assert header in response.get_json()["detail"]
    assert faults_of(response) == [("invalid_header", header)]


def test_a_document_that_a_release_has_rendered_anew_is_no_change(
    admin: FlaskClient, session: Session, tee: dict[str, Any]
) -> None:
    before = tag(admin)
    session.execute(text("UPDATE products SET document_shape = document_shape + 1"))
    session.commit()

    assert tag(admin) != before
    assert write(admin, "PATCH", "", If_Match=before).status_code == 200


@writes
def test_a_handle_that_means_another_product_now_does_not_match(
    admin: FlaskClient, tee: dict[str, Any], method: str, part: str | None
) -> None:
    known = tag(admin)
    admin.delete(f"{URL}/tee")
    created(admin, handle="tee", sku="A")  # at the same version as the first

    assert version(admin) == tee["version"]
    assert tag(admin) != known
    assert write(admin, method, part, If_Match=known).status_code == 412
    assert admin.get(f"{URL}/tee", headers={"If-None-Match": known}).status_code == 200


def test_the_state_is_asked_before_the_body_is_read(
    admin: FlaskClient, tee: dict[str, Any]
) -> None:
    # What is stale may well be invalid by now, and 412 is what helps.
    response = admin.patch(
        f"{URL}/tee", json={"variants": [{"id": 1 << 60}]}, headers={"If-Match": '"9.9.9"'}
    )

    assert response.status_code == 412


# --- If-None-Match ----------------------------------------------------------------------------


def test_if_none_match_creates_only(admin: FlaskClient) -> None:
    first = write(admin, "PUT", "", If_None_Match="*")
    second = write(admin, "PUT", "", If_None_Match="*")

    assert (first.status_code, second.status_code) == (201, 412)
    assert version(admin) == 1


@pytest.mark.usefixtures("tee")
@pytest.mark.parametrize("weak", ["", "W/"])
def test_a_state_may_be_ruled_out(admin: FlaskClient, weak: str) -> None:
    ruled_out = f'"x", {weak}{tag(admin)}'

    assert write(admin, "PATCH", "", If_None_Match=ruled_out).status_code == 412
    admin.patch(f"{URL}/tee", json={"vendor": "V"})
    assert write(admin, "PATCH", "", If_None_Match=ruled_out).status_code == 200


# --- REQUIRE_IF_MATCH -------------------------------------------------------------------------


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that does not let anything be overwritten unseen."""
    monkeypatch.setattr("api.conditional.settings", replace(settings, require_if_match=True))


@pytest.mark.usefixtures("tee", "required")
@writes
def test_a_change_without_if_match_is_428(
    admin: FlaskClient, method: str, part: str | None
) -> None:
    response = write(admin, method, part)

    assert response.status_code == 428
    assert response.get_json()["code"] == "precondition_required"
    assert version(admin) == 1
    assert write(admin, method, part, If_None_Match='"x"').status_code == 428
    assert write(admin, method, part, If_Match=tag(admin)).status_code in (200, 204)


@pytest.mark.usefixtures("required")
def test_what_does_not_exist_needs_no_condition(admin: FlaskClient) -> None:
    for method, part in WRITES[1:]:
        assert write(admin, method, part).status_code == 404
    assert write(admin, "PUT", "").status_code == 201
    assert admin.post(URL, json={"name": "Tee"}).status_code == 201
