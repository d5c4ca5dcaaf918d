"""Two writers meet: whoever comes second knows it, and nobody's change is lost.

Real connections wait for the same lock in PostgreSQL and are let go at once (`tests/racing.py`);
the last test does it through gunicorn.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.processes import Web
from tests.racing import LOCK_PRODUCTS, TAKE_HANDLE, Send, race
from tests.stage import ADMIN, created, faults_of

URL = "/api/v1/products"
TEE = f"{URL}/tee"
BATCH = f"{URL}/batch"


@pytest.fixture
def tag(admin: FlaskClient) -> str:
    """The ETag of the product `tee`, which has one variant of the SKU `A`."""
    created(admin, name="Tee", handle="tee", sku="A", price="1", stock=1)
    return admin.get(TEE).headers["ETag"]


def send(method: str, url: str, json: Any = None, **headers: str) -> Send:
    """A request, to be sent later."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda client: client.open(url, method=method, json=json, headers=named)


def put(name: str, **headers: str) -> Send:
    return send("PUT", TEE, {"name": name, "sku": "A"}, **headers)


def patch(change: dict[str, Any], **headers: str) -> Send:
    return send("PATCH", TEE, change, **headers)


def statuses(app: Flask, *sends: Send) -> tuple[int, ...]:
    """How requests are answered that all wait for the lock of the product."""
    return tuple(answer.status_code for answer in race(app, LOCK_PRODUCTS, (), *sends))


def creations(app: Flask, *sends: Send) -> tuple[int, ...]:
    """How requests are answered that all wait for the handle `tee`, while someone may create it."""
    return tuple(answer.status_code for answer in race(app, TAKE_HANDLE, ("tee",), *sends))


def tee(admin: FlaskClient) -> dict[str, Any]:
    """The product as it stands."""
    product: dict[str, Any] = admin.get(TEE).get_json()
    return product


# --- with If-Match, one of two wins -----------------------------------------------------------


def test_put_and_put(app: Flask, admin: FlaskClient, tag: str) -> None:
    answers = race(app, LOCK_PRODUCTS, (), put("One", If_Match=tag), put("Two", If_Match=tag))

    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (200, 412)
    assert tee(admin) == won.get_json()
    assert tee(admin)["version"] == 2


@pytest.mark.parametrize(
    ("one", "two", "outcomes"),
    [
        (("PATCH", TEE, {"name": "One"}), ("PATCH", TEE, {"stock": 2}), {(200, 412), (412, 200)}),
        (("PUT", TEE, {"name": "One"}), ("PATCH", TEE, {"stock": 2}), {(200, 412), (412, 200)}),
        # What was deleted first is not there: that is said before any condition.
        (("PATCH", TEE, {"name": "One"}), ("DELETE", TEE, None), {(200, 412), (404, 204)}),
        # A PUT could create; but not what it wants to find.
        (("PUT", TEE, {"name": "One"}), ("DELETE", TEE, None), {(200, 412), (412, 204)}),
        (("DELETE", TEE, None), ("DELETE", TEE, None), {(204, 404), (404, 204)}),
        (
            ("PATCH", "/api/v1/variants/A", {"stock": 5}),
            ("PATCH", TEE, {"name": "One"}),
            {(200, 412), (412, 200)},
        ),
        (
            ("PATCH", "/api/v1/variants/A", {"stock": 5}),
            ("PATCH", "/api/v1/variants/A", {"price": "5"}),
            {(200, 412), (412, 200)},
        ),
    ],
)
def test_of_two_who_know_the_same_state_one_wins(
    app: Flask, admin: FlaskClient, tag: str, one: Any, two: Any, outcomes: set[tuple[int, int]]
) -> None:
    found = statuses(app, send(*one, If_Match=tag), send(*two, If_Match=tag))

    assert found in outcomes
    left = admin.get(TEE)
    assert left.status_code == (404 if 204 in found else 200)
    assert left.status_code == 404 or left.get_json()["version"] == 2


# --- without conditions, both take effect -----------------------------------------------------


def test_two_patches_of_different_fields_both_take_effect(
    app: Flask, admin: FlaskClient, tag: str
) -> None:
    found = statuses(app, patch({"vendor": "V", "price": "2"}), patch({"tags": ["t"], "stock": 2}))

    assert found == (200, 200)
    left = tee(admin)
    assert (left["vendor"], left["tags"], left["version"]) == ("V", ["t"], 3)
    assert (left["variants"][0]["price"], left["variants"][0]["stock"]) == ("2.00", 2)


def test_a_variant_by_its_sku_and_its_product(app: Flask, admin: FlaskClient, tag: str) -> None:
    found = statuses(
        app,
        send("PATCH", "/api/v1/variants/A", {"stock": 7}),
        send("PATCH", "/api/v1/variants/A", {"barcode": "4711"}),
        patch({"price": "7", "name": "Mug"}),
    )

    assert found == (200, 200, 200)
    left = tee(admin)
    (variant,) = left["variants"]
    assert (variant["stock"], variant["price"], variant["barcode"]) == (7, "7.00", "4711")
    assert (left["name"], left["version"]) == ("Mug", 4)


@pytest.mark.parametrize("mode", ["atomic", "partial"])
@pytest.mark.parametrize("name", [{"handle": "tee"}, {"sku": "A"}])
def test_a_batch_and_a_patch(
    app: Flask, admin: FlaskClient, tag: str, mode: str, name: dict[str, str]
) -> None:
    batch = {"mode": mode, "products": [{**name, "stock": 7}]}

    found = statuses(app, send("POST", BATCH, batch), patch({"price": "7"}))

    assert set(found) <= {200, 207}
    left = tee(admin)
    assert (left["variants"][0]["stock"], left["variants"][0]["price"]) == (7, "7.00")
    assert left["version"] == 3


def test_a_patch_with_if_match_sees_a_batch(app: Flask, admin: FlaskClient, tag: str) -> None:
    batch = {"products": [{"handle": "tee", "stock": 7}]}

    found = statuses(app, send("POST", BATCH, batch), patch({"price": "7"}, If_Match=tag))

    # The batch names no state: it takes effect in any case.
    assert found in {(200, 412), (200, 200)}
    assert tee(admin)["variants"][0]["stock"] == 7
    assert tee(admin)["version"] == (2 if 412 in found else 3)


def test_a_sku_that_moved_while_someone_waited_is_not_there(
    app: Flask, admin: FlaskClient, tag: str
) -> None:
    move = patch({"sku": "C"})
    by_sku = send("PATCH", "/api/v1/variants/A", {"stock": 7})
    batch = send("POST", BATCH, {"products": [{"sku": "A", "stock": 8}]})

    # Both had found the variant by its old SKU. A batch could create, but lacks the name.
    assert statuses(app, move, by_sku, batch) == (200, 404, 422)
    assert tee(admin)["version"] == 2


# --- creating under one handle ----------------------------------------------------------------


def test_two_put_the_same_new_product(app: Flask, admin: FlaskClient) -> None:
    found = creations(app, put("One"), put("Two"))

    assert sorted(found) == [200, 201]
    assert tee(admin)["version"] == 2


def test_only_one_creates(app: Flask, admin: FlaskClient) -> None:
    found = creations(app, *(put(name, If_None_Match="*") for name in ("One", "Two")))

    assert sorted(found) == [201, 412]
    assert tee(admin)["version"] == 1


def test_a_put_meets_a_post(app: Flask, admin: FlaskClient) -> None:
    made, put_in = creations(app, send("POST", URL, {"name": "T", "handle": "tee"}), put("Two"))

    assert (made, put_in) in {(201, 200), (409, 201)}
    assert tee(admin)["version"] == (2 if made == 201 else 1)


def test_two_batches_bring_the_same_new_product(app: Flask, admin: FlaskClient) -> None:
    one = {"products": [{"handle": "tee", "name": "One", "vendor": "V"}]}
    two = {"products": [{"handle": "tee", "name": "Two", "stock": 5}], "mode": "partial"}

    found = creations(app, send("POST", BATCH, one), send("POST", BATCH, two))

    assert found == (200, 207)
    left = tee(admin)  # the second found the first, and has changed it
    assert (left["vendor"], left["variants"][0]["stock"], left["version"]) == ("V", 5, 2)


def test_two_batches_derive_the_same_handles(app: Flask, admin: FlaskClient) -> None:
    batch = {"products": [{"name": "Tee"}] * 3}

    found = creations(app, send("POST", BATCH, batch), send("POST", BATCH, batch))

    assert found == (200, 200)
    listed = admin.get(URL).get_json()["data"]
    handles = ["tee", *(f"tee-{number}" for number in range(2, 7))]
    assert sorted(product["handle"] for product in listed) == handles


@pytest.mark.parametrize("by", ["id", "handle"])
def test_a_restored_product_and_a_new_one(app: Flask, admin: FlaskClient, by: str) -> None:
    old = created(admin, name="Old", handle="tee")
    admin.delete(TEE)

    restored, made = creations(
        app,
        send("POST", f"{URL}/{old[by]}/restore"),
        send("POST", URL, {"name": "New", "handle": "tee"}),
    )

    assert (restored, made) in {(200, 409), (409, 201)}
    assert tee(admin)["name"] == ("Old" if restored == 200 else "New")


def test_two_restore_the_same_product(app: Flask, admin: FlaskClient) -> None:
    old = created(admin, name="Old", handle="tee")
    admin.delete(TEE)

    found = statuses(app, *[send("POST", f"{URL}/{old['id']}/restore")] * 2)

    assert found == (200, 200)
    assert tee(admin)["version"] == 3  # deleted and restored once


# --- batches do not lock each other out -------------------------------------------------------


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that do not try again: what meets a deadlock shows it, as a 503."""
    monkeypatch.setattr("catalog.batches._ATTEMPTS", 1)


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("by", ["handle", "id", "sku"])
def test_batches_in_opposite_orders_change_the_same_products(
    app: Flask, admin: FlaskClient, by: str
) -> None:
    made = [created(admin, handle=f"p-{n}", sku=f"S-{n}") for n in range(40)]
    names = [{by: product.get(by, f"S-{n}")} for n, product in enumerate(made)]
    one = {"products": [{**name, "vendor": "V"} for name in names]}
    two = {"products": [{**name, "category": "C"} for name in names[::-1]]}

    found = statuses(app, send("POST", BATCH, one), send("POST", BATCH, two))

    assert found == (200, 200)
    left = admin.get(URL, query_string={"limit": 200}).get_json()["data"]
    assert {(p["vendor"], p["category"], p["version"]) for p in left} == {("V", "C", 3)}


@pytest.mark.usefixtures("once")
def test_batches_in_opposite_orders_create_the_same_products(app: Flask) -> None:
    items = [{"handle": handle, "name": "T"} for handle in ("tee", "u", "v", "w", "x")]
    one, two = {"products": items}, {"products": items[::-1]}

    found = creations(app, send("POST", BATCH, one), send("POST", BATCH, two))

    assert sorted(found) == [200, 409]  # and no 503


def test_a_batch_that_was_ended_by_a_deadlock_tries_again(app: Flask, admin: FlaskClient) -> None:
    tee, mug = created(admin, handle="tee"), created(admin, handle="mug")

    def new(*handles: str) -> list[dict[str, str]]:
        return [{"handle": handle, "name": "New"} for handle in handles]

    # Each takes a handle by renaming, and then wants the one that the other has taken.
    one: list[Any] = [{"id": tee["id"], "handle": "x"}, *new("a-1", "y")]
    two: list[Any] = [{"id": mug["id"], "handle": "y"}, *new("a-2", "x")]
    hold = "INSERT INTO products (handle, name) VALUES ('a-1', 'Held'), ('a-2', 'Held')"

    answers = race(
        app, hold, (), *(send("POST", BATCH, {"products": items}) for items in (one, two))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 422]
    (refused,) = (answer for answer in answers if answer.status_code == 422)
    assert faults_of(refused) == [("handle_taken", "/products/0/handle")]


# --- through gunicorn -------------------------------------------------------------------------


def counted_up(client: httpx.Client, ways: list[Any], times: int) -> None:
    """Read the stock and write one more, `times` times, as often as it takes."""
    done = 0
    while done < times:
        read = client.get(TEE)
        way = ways[done % len(ways)]
        wrote = way(client, read.json(), {"If-Match": read.headers["ETag"]})
        assert wrote.status_code in (200, 412, 503), wrote.text  # 503: a lock that took too long
        done += wrote.status_code == 200


def by_put(client: httpx.Client, product: Any, headers: dict[str, str]) -> httpx.Response:
    product["variants"][0]["stock"] += 1
    return client.put(TEE, json=product, headers=headers)


def by_patch(client: httpx.Client, product: Any, headers: dict[str, str]) -> httpx.Response:
    stock = product["variants"][0]["stock"] + 1
    return client.patch(TEE, json={"stock": stock}, headers=headers)


def by_sku(client: httpx.Client, product: Any, headers: dict[str, str]) -> httpx.Response:
    stock = product["variants"][0]["stock"] + 1
    return client.patch("/api/v1/variants/A", json={"stock": stock}, headers=headers)


def test_writers_who_count_up_through_gunicorn_lose_nothing(admin: FlaskClient, web: Web) -> None:
    created(admin, handle="tee", sku="A", stock=0)
    ways = [by_put, by_patch, by_sku]

    with (
        httpx.Client(base_url=web.url, headers=ADMIN, timeout=30) as client,
        ThreadPoolExecutor(3) as many,
    ):
        writers = [many.submit(counted_up, client, ways[n:] + ways[:n], 10) for n in range(3)]
        for writer in writers:
            writer.result(60)

    assert tee(admin)["variants"][0]["stock"] == 30
    assert tee(admin)["version"] == 31
