"""What an answer holds besides products: some fields alone, a count, a tag; or nothing but 304."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from catalog.listing import COUNT_LIMIT
from schemas import ProductSchema
from tests.paging import URL, names, walked
from tests.stage import created

# --- fields -----------------------------------------------------------------------------------


def test_fields_leave_out_the_others_and_keep_the_order_of_the_document(
    admin: FlaskClient, client: FlaskClient
) -> None:
    product = created(admin, name="Café", handle="tee", price="1.50", metadata={"ü": [1.5, None]})
    sent = "variants,name,metadata,id"

    one = client.get(f"{URL}/tee?fields={sent}")
    listed = client.get(f"{URL}?fields={sent}")

    expected = [(name, product[name]) for name in ("id", "name", "metadata", "variants")]
    assert list(one.get_json().items()) == expected
    assert listed.get_json()["data"] == [dict(expected)]
    assert list(listed.get_json()["data"][0]) == [name for name, _ in expected]
    assert "Café" in one.text


def test_every_field_can_be_asked_for(admin: FlaskClient) -> None:
    product = created(admin, handle="tee")

    for name in ProductSchema().fields:
        assert admin.get(f"{URL}/tee?fields={name}").get_json() == {name: product[name]}
    everything = admin.get(f"{URL}/tee?fields={','.join(ProductSchema().fields)}")
    assert everything.data == admin.get(f"{URL}/tee").data


def test_the_next_page_shows_the_same_fields(admin: FlaskClient) -> None:
    for name in "abc":
        created(admin, name=name)

    rows = walked(admin, limit=1, fields="name")

    assert rows == [{"name": "a"}, {"name": "b"}, {"name": "c"}]


# --- counting ---------------------------------------------------------------------------------


def counted(response: TestResponse) -> tuple[int, bool]:
    """What a page says about the number of all products."""
    return response.get_json()["count"], response.get_json()["count_exact"]


def test_only_who_asks_is_told_the_number_of_products_on_all_pages(
    admin: FlaskClient, client: FlaskClient
) -> None:
    for name in "abc":
        created(admin, name=name, vendor="Thread")
    created(admin, name="d", vendor="Thread", status="draft")
    created(admin, name="e")
    query = {"include": "count", "vendor": "Thread", "limit": 1, "sort": "-name"}

    first = admin.get(URL, query_string=query)
    second = admin.get(first.get_json()["next"])

    assert counted(first) == counted(second) == (4, True)
    assert counted(client.get(URL, query_string=query)) == (3, True)
    assert {"count", "count_exact"}.isdisjoint(admin.get(URL).get_json())


def test_a_page_that_is_empty_counts_as_well(admin: FlaskClient) -> None:
    assert counted(admin.get(f"{URL}?include=count")) == (0, True)
    for name in "abc":
        created(admin, name=name)
    first = admin.get(f"{URL}?include=count&limit=2")
    admin.delete(f"{URL}/c")

    behind = admin.get(first.get_json()["next"])

    assert behind.get_json()["data"] == []
    assert counted(behind) == (2, True)


def test_counting_ends_at_ten_thousand(admin: FlaskClient, session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO products (handle, name, document)"
            " SELECT n::text, 'Tee', '{}' FROM generate_series(1, :number) n"
        ),
        {"number": COUNT_LIMIT + 1},
    )
    session.commit()

    more = admin.get(f"{URL}?include=count&limit=1")
    session.execute(text("DELETE FROM products WHERE handle = '1'"))
    session.commit()
    exactly = admin.get(f"{URL}?include=count&limit=1")

    assert counted(more) == (10_000, False)
    assert counted(exactly) == (10_000, True)


# --- what the client has already --------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "?limit=1&sort=-name&include=count", "/tee", "/tee?fields=id"]
)
def test_head_answers_with_the_headers_of_get(admin: FlaskClient, path: str) -> None:
    created(admin, handle="tee")
    created(admin)

    got = admin.get(URL + path)
    head = admin.head(URL + path)

    changing = ("Date", "X-Request-ID")
    assert (head.status_code, head.data) == (200, b"")
    # Sorted: of different fields the order says nothing (RFC 9110 §5.3).
    assert sorted(pair for pair in head.headers if pair[0] not in changing) == sorted(
        pair for pair in got.headers if pair[0] not in changing
    )
    assert int(head.headers["Content-Length"]) == len(got.data)
    assert head.headers["ETag"]


@pytest.mark.parametrize("path", ["", "?limit=1&fields=name", "/tee", "/tee?fields=name"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(admin: FlaskClient, path: str, method: str) -> None:
    created(admin, handle="tee")
    tag = admin.get(URL + path).headers["ETag"]

    for held in (tag, f"W/{tag}", f'"other", {tag}', f'W/"other",W/{tag}', "*"):
        same = admin.open(URL + path, method=method, headers={"If-None-Match": held})
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    for other in ('"other"', 'W/"other", "more"', tag.strip('"')[:-1]):
        assert admin.get(URL + path, headers={"If-None-Match": other}).status_code == 200


CHANGES: dict[str, Callable[[FlaskClient], Any]] = {
    "the first is changed": lambda admin: admin.patch(f"{URL}/a", json={"vendor": "Thread"}),
    "the last is changed": lambda admin: admin.patch(f"{URL}/c", json={"price": "2.00"}),
    "one is added": lambda admin: created(admin, name="d"),
    "one is deleted": lambda admin: admin.delete(f"{URL}/b"),
    "one is hidden": lambda admin: admin.patch(f"{URL}/b", json={"status": "draft"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_has_another_tag_once(admin: FlaskClient, client: FlaskClient, change: str) -> None:
    for name in "abc":
        created(admin, name=name)
    before = client.get(URL)

    CHANGES[change](admin)
    after = client.get(URL, headers={"If-None-Match": before.headers["ETag"]})

    assert after.status_code == 200
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.data != before.data


def test_a_full_page_has_another_tag_once_another_page_follows(admin: FlaskClient) -> None:
    created(admin)
    before = admin.get(f"{URL}?limit=1")

    created(admin)
    after = admin.get(f"{URL}?limit=1", headers={"If-None-Match": before.headers["ETag"]})

    assert after.status_code == 200
    assert after.get_json()["next"]


def test_lists_that_differ_have_different_tags(admin: FlaskClient, client: FlaskClient) -> None:
    created(admin, name="shown")
    hidden = created(admin, name="hidden", status="draft")
    paths = ("", "?include=count", "?sort=-id", "?limit=1", "?status=draft")
    tags = [admin.get(URL + path).headers["ETag"] for path in paths]

    assert len(set(tags)) == len(tags)
    seen_by_visitor = client.get(URL, headers={"If-None-Match": tags[0]})
    assert (seen_by_visitor.status_code, names(seen_by_visitor)) == (200, ["shown"])
    admin.delete(f"{URL}/{hidden['id']}")
    assert client.get(URL).headers["ETag"] == admin.get(URL).headers["ETag"]
