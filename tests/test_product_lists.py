"""`GET /api/v1/products`: the list, its pages and its filters."""

from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models import Job, JobError
from tests.stage import created

URL = "/api/v1/products"


def names(response: TestResponse) -> list[str]:
    """The names of the products on a page."""
    assert response.status_code == 200, response.text
    return [product["name"] for product in response.get_json()["data"]]


def test_pages_are_complete_and_free_of_repeats_while_others_write(admin: FlaskClient) -> None:
    ids = [created(admin, name=name)["id"] for name in "abcdefg"]
    page = admin.get(URL, query_string={"limit": 2})
    seen = names(page)

    for gone in (ids[0], ids[1], ids[3]):
        admin.delete(f"{URL}/{gone}")
    created(admin, name="late")
    while url := page.get_json()["next"]:
        page = admin.get(url)
        seen += names(page)

    assert seen == ["a", "b", "c", "e", "f", "g", "late"]


def test_the_next_page_is_linked_with_the_same_filters(admin: FlaskClient) -> None:
    for name in "abc":
        created(admin, name=name, status="draft")
        created(admin, name=name.upper())

    first = admin.get(f"{URL}?status=draft&limit=2", base_url="https://shop.example")
    last = admin.get(first.get_json()["next"])

    url = first.get_json()["next"]
    assert url.startswith(f"https://shop.example{URL}?")
    assert first.headers["Link"] == f'<{url}>; rel="next"'
    assert (names(first), names(last)) == (["a", "b"], ["c"])
    assert last.get_json()["next"] is None
    assert "Link" not in last.headers


def test_a_page_holds_25_products_unless_told_otherwise(admin: FlaskClient) -> None:
    for number in range(26):
        created(admin, name=f"Tee {number}")

    assert len(names(admin.get(URL))) == 25
    assert len(names(admin.get(f"{URL}?limit=200"))) == 26


def test_a_full_last_page_has_no_next(admin: FlaskClient) -> None:
    created(admin)
    created(admin)

    assert admin.get(f"{URL}?limit=2").get_json()["next"] is None


def cursor_of(response: TestResponse) -> str:
    """The cursor in the address of the next page."""
    next_url: str = response.get_json()["next"]
    return parse_qs(urlsplit(next_url).query)["cursor"][0]


def refused_parameter(response: TestResponse) -> tuple[str, str]:
    """The code of a problem's one fault, and the parameter that it names."""
    (fault,) = response.get_json()["errors"]
    return fault["code"], fault["parameter"]


def test_a_cursor_that_was_changed_is_refused(admin: FlaskClient) -> None:
    created(admin)
    created(admin)
    cursor = cursor_of(admin.get(f"{URL}?limit=1"))

    for forged in (cursor + "x", "A" + cursor, cursor.partition(".")[0], "é", ""):
        response = admin.get(URL, query_string={"cursor": forged})

        assert response.status_code == 400
        assert refused_parameter(response) == ("invalid_cursor", "cursor")


def test_a_cursor_of_another_list_is_refused(admin: FlaskClient, session: Session) -> None:
    job = Job(kind="import", task="x", status="failed", finished_at=func.now())
    session.add(job)
    session.flush()
    session.add_all(JobError(job_id=job.id, line=n, code="x", detail="x") for n in (1, 2))
    session.commit()
    cursor = cursor_of(admin.get(f"/api/v1/jobs/{job.id}/errors?limit=1"))

    response = admin.get(URL, query_string={"cursor": cursor})

    assert response.status_code == 400
    assert refused_parameter(response) == ("invalid_cursor", "cursor")


@pytest.mark.parametrize("status", ["draft", "archived"])
def test_only_a_key_shows_what_is_not_active(
    admin: FlaskClient, client: FlaskClient, status: str
) -> None:
    hidden = created(admin, name="hidden", status=status)
    created(admin, name="shown")

    assert names(client.get(URL)) == ["shown"]
    assert names(client.get(f"{URL}?status={status}")) == []
    assert client.get(f"{URL}/{hidden['id']}").status_code == 404
    assert client.get(f"{URL}/hidden").status_code == 404
    assert names(admin.get(URL)) == ["hidden", "shown"]
    assert names(admin.get(f"{URL}?status={status}")) == ["hidden"]
    assert admin.get(f"{URL}/hidden").get_json() == hidden
