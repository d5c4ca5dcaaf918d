"""`GET /api/v1/products`: the list, its order, its pages, and what it leaves out."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from catalog.listing import SORTS
from models import Job, JobError
from tests.paging import URL, names, walk
from tests.stage import created


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
    assert last.headers["Link"] == f'<{last.get_json()["prev"]}>; rel="prev"'


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

    for forged in (cursor + "x", "A" + cursor, cursor[:-1], cursor + "!", cursor + "=", "é", ""):
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


# --- order ------------------------------------------------------------------------------------

# Name, price, and the days of created_at and updated_at; the handles are p1, p2 and so on.
ROWS = (("b", 5, 3, 1), ("a", 5, 1, 2), ("b", None, 3, 2), ("c", 1, 1, 1), ("a", None, 2, 3))
ORDERS = {
    "id": "p1 p2 p3 p4 p5",
    "name": "p2 p5 p1 p3 p4",
    "price": "p4 p1 p2 p3 p5",  # what has no price comes last
    "created_at": "p2 p4 p5 p1 p3",
    "updated_at": "p1 p4 p2 p3 p5",
}


def fill(session: Session, rows: Any) -> None:
    """Replace all products by rows like those of ROWS, in their order, without variants."""
    session.execute(text("DELETE FROM products"))
    insert = text(
        "INSERT INTO products (handle, name, lowest_price, created_at, updated_at, document)"
        " VALUES (:handle, :name, coalesce(:price, 'Infinity'::numeric),"
        " timestamptz '2026-01-01Z' + :created * interval '1 day',"
        " timestamptz '2026-02-01Z' + :updated * interval '1 day', format('{\"handle\":\"%s\"}',"
        " CAST(:handle AS text)))"
    )
    columns = ("name", "price", "created", "updated")
    for number, row in enumerate(rows, 1):
        session.execute(insert, {"handle": f"p{number}", **dict(zip(columns, row, strict=True))})
    session.commit()


def handles(rows: list[dict[str, Any]]) -> list[str]:
    """The handles of some products."""
    return [row["handle"] for row in rows]


def test_every_sort_is_tested() -> None:
    assert {f"{sign}{name}" for name in ORDERS for sign in ("", "-")} == set(SORTS)


@pytest.mark.parametrize("sort", ORDERS)
def test_a_sort_puts_ties_in_the_order_of_their_ids_and_a_minus_reverses_it_all(
    client: FlaskClient, session: Session, sort: str
) -> None:
    fill(session, ROWS)

    upwards = client.get(URL, query_string={"sort": sort}).get_json()["data"]
    downwards = client.get(URL, query_string={"sort": f"-{sort}"}).get_json()["data"]

    assert handles(upwards) == ORDERS[sort].split()
    assert downwards == upwards[::-1]


def test_the_price_that_is_sorted_by_is_that_of_the_cheapest_variant(admin: FlaskClient) -> None:
    created(admin, name="middle", price="5.00")
    created(admin, name="unknown")
    several = [{"options": {"Size": size}, "price": price} for size, price in
               (("S", "9.00"), ("M", None), ("L", "4.00"))]  # fmt: skip
    created(admin, name="several", variants=several)

    assert names(admin.get(f"{URL}?sort=price")) == ["several", "middle", "unknown"]

    admin.patch(f"{URL}/middle", json={"price": "3.99"})

    assert names(admin.get(f"{URL}?sort=price")) == ["middle", "several", "unknown"]


# --- walking through the pages ----------------------------------------------------------------

days = st.integers(0, 2)
some_rows = st.lists(
    st.tuples(st.sampled_from("abé"), st.none() | st.integers(0, 2), days, days), max_size=9
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=some_rows, sort=st.sampled_from([None, *SORTS]), limit=st.integers(1, 4))
def test_all_pages_together_are_the_list_forwards_and_backwards(
    client: FlaskClient, session: Session, rows: Any, sort: str | None, limit: int
) -> None:
    fill(session, rows)
    sent = {"sort": sort} if sort else {}
    whole = client.get(URL, query_string={**sent, "limit": 200}).get_json()["data"]

    pages = walk(client, **sent, limit=limit)

    assert [row for page in pages for row in page] == whole
    assert len(whole) == len(rows)
    assert all(len(page) == limit for page in pages[:-1])


# Each is done between two pages, `edge` being the handle of the last row shown.
WRITES = {
    "insert": "INSERT INTO products (handle, name, lowest_price, created_at, updated_at, document)"
    " SELECT 'new' || :turn, name, lowest_price, created_at, updated_at,"
    ' format(\'{"handle":"new%s"}\', :turn) FROM products WHERE handle = :edge',
    # Every row is then found at another place in the table.
    "update": "UPDATE products SET vendor = :turn || :edge, version = version + 1",
    "delete": "UPDATE products SET deleted_at = now() WHERE handle IN (:edge, 'p' || (5 + :turn))",
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("sort", SORTS)
def test_what_stays_is_shown_once_while_rows_with_equal_values_come_and_go(
    client: FlaskClient, session: Session, sort: str, write: str
) -> None:
    fill(session, [("same", 1, 1, 1)] * 12)
    page = client.get(URL, query_string={"sort": sort, "limit": 2})
    seen = handles(page.get_json()["data"])

    turn = 0
    while url := page.get_json()["next"]:
        turn += 1
        if turn <= 3:
            session.execute(text(WRITES[write]), {"turn": turn, "edge": seen[-1]})
            session.commit()
        page = client.get(url)
        seen += handles(page.get_json()["data"])

    stayed = session.scalars(
        text(
            "SELECT handle FROM products WHERE deleted_at IS NULL AND handle LIKE 'p%' ORDER BY id"
        )
    )
    assert len(seen) == len(set(seen))
    expected = list(stayed)[:: -1 if sort.startswith("-") else 1]
    assert [handle for handle in seen if handle in expected] == expected


def test_a_page_in_the_middle_links_both_of_its_neighbours(admin: FlaskClient) -> None:
    for name in "abcde":
        created(admin, name=name)
    first = admin.get(f"{URL}?limit=2&sort=-name")

    middle = admin.get(first.get_json()["next"])

    url = middle.get_json()
    assert names(middle) == ["c", "b"]
    assert first.get_json()["prev"] is None
    assert middle.headers["Link"] == f'<{url["next"]}>; rel="next", <{url["prev"]}>; rel="prev"'
    assert names(admin.get(url["prev"])) == ["e", "d"]
    assert names(admin.get(url["next"])) == ["a"]


def test_a_page_begins_where_a_deleted_product_stood(admin: FlaskClient) -> None:
    for name in "abcdef":
        created(admin, name=name)
    second = admin.get(admin.get(f"{URL}?limit=2").get_json()["next"])
    assert names(second) == ["c", "d"]

    for edge in "cd":
        admin.delete(f"{URL}/{edge}")

    assert names(admin.get(second.get_json()["prev"])) == ["a", "b"]
    assert names(admin.get(second.get_json()["next"])) == ["e", "f"]


def test_where_nothing_is_left_the_page_is_empty(admin: FlaskClient) -> None:
    for name in "abcdef":
        created(admin, name=name)
    second = admin.get(admin.get(f"{URL}?limit=2").get_json()["next"])

    for gone in "abcdef":
        admin.delete(f"{URL}/{gone}")

    for link in ("prev", "next"):
        page = admin.get(second.get_json()[link])
        assert page.get_json() == {"data": [], "next": None, "prev": None}
        assert "Link" not in page.headers


@pytest.mark.parametrize("other", ["name", "-price", "price", "id", None])
def test_a_cursor_of_another_order_is_refused(admin: FlaskClient, other: str | None) -> None:
    created(admin)
    created(admin)
    cursor = cursor_of(admin.get(f"{URL}?limit=1&sort=-name"))

    response = admin.get(URL, query_string={"cursor": cursor} | ({"sort": other} if other else {}))

    assert response.status_code == 400
    assert refused_parameter(response) == ("invalid_cursor", "cursor")


def test_a_visitor_walks_past_what_is_hidden(admin: FlaskClient, client: FlaskClient) -> None:
    for number, status in enumerate(["active", "draft", "archived"] * 3):
        created(admin, name=str(number), status=status)

    pages = walk(client, limit=1, sort="-name")

    assert [[row["name"] for row in page] for page in pages] == [["6"], ["3"], ["0"]]
