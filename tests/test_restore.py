"""`POST /api/v1/products/{ref}/restore`: a deletion is undone."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from catalog import products
from tests.stage import created, faults_of
from tests.statements import statements

URL = "/api/v1/products"


def restore(admin: FlaskClient, ref: object) -> TestResponse:
    """The answer to undoing a deletion."""
    return admin.post(f"{URL}/{ref}/restore")


def deleted(admin: FlaskClient, **fields: Any) -> dict[str, Any]:
    """A product that was created and then deleted."""
    product = created(admin, **fields)
    assert admin.delete(f"{URL}/{product['id']}").status_code == 204
    return product


@pytest.mark.parametrize("by", ["id", "handle"])
def test_a_deleted_product_comes_back_as_it_was(admin: FlaskClient, by: str) -> None:
    tee = deleted(admin, handle="tee", vendor="V", variants=[{"sku": "A", "options": {"S": "M"}}])

    response = restore(admin, tee[by])

    assert response.status_code == 200
    changed = {name: response.get_json()[name] for name in ("version", "updated_at")}
    assert response.get_json() == {**tee, **changed}
    assert changed["version"] == 3  # deleted, and restored
    assert changed["updated_at"] > tee["updated_at"]
    read = admin.get(f"{URL}/tee")
    assert (read.data, read.headers["ETag"]) == (response.data, response.headers["ETag"])
    assert admin.get(URL).get_json()["data"] == [read.get_json()]


@pytest.mark.parametrize("by", ["id", "handle"])
def test_a_living_product_stays_as_it_is(admin: FlaskClient, by: str) -> None:
    tee = created(admin, handle="tee")

    response = restore(admin, tee[by])

    assert (response.status_code, response.get_json()) == (200, tee)


@pytest.mark.parametrize("ref", ["no-such", "999999999", "9" * 40, "a%00b", "x" * 300])
def test_what_never_was_is_not_restored(admin: FlaskClient, ref: str) -> None:
    deleted(admin, handle="tee")

    response = restore(admin, ref)

    assert response.status_code == 404
    assert response.get_json()["code"] == "product_not_found"


def test_a_handle_that_several_deleted_products_had_lists_them(admin: FlaskClient) -> None:
    first, second = deleted(admin, name="A", handle="tee"), deleted(admin, name="B", handle="tee")

    response = restore(admin, "tee")

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (409, "ambiguous_handle")
    assert [(found["product_id"], found["name"]) for found in problem["candidates"]] == [
        (first["id"], "A"), (second["id"], "B")
    ]  # fmt: skip
    assert all(found["deleted_at"].endswith("Z") for found in problem["candidates"])
    assert restore(admin, first["id"]).status_code == 200


@pytest.mark.parametrize("by", ["id", "handle"])
def test_a_handle_that_another_product_has_now_is_a_conflict(admin: FlaskClient, by: str) -> None:
    old = deleted(admin, handle="tee")
    new = created(admin, handle="tee")

    response = restore(admin, old[by])

    assert response.status_code == 409
    assert response.get_json()["code"] == "handle_taken"
    assert faults_of(response) == [("handle_taken", "/handle")]
    assert admin.get(f"{URL}/tee").get_json() == new


def test_a_handle_of_digits_is_an_id_here_too(admin: FlaskClient) -> None:
    tee = deleted(admin, handle="999999999")

    assert restore(admin, "999999999").status_code == 404
    assert restore(admin, tee["id"]).status_code == 200


def test_who_may_not_write_may_not_restore(admin: FlaskClient, client: FlaskClient) -> None:
    deleted(admin, handle="tee")

    assert client.post(f"{URL}/tee/restore").status_code == 401


def test_a_deleted_handle_is_found_by_an_index(session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO products (handle, name, deleted_at)"
            " SELECT 'tee-' || n, 'Tee', CASE WHEN n % 50 = 0 THEN now() END"
            " FROM generate_series(1, 5000) n"
        )
    )
    session.execute(text("ANALYZE products"))

    with statements() as sent:
        products.restore(session, "tee-50")

    search = sent[0]
    plan = session.connection().exec_driver_sql(f"EXPLAIN {search.sql}", search.params).scalars()
    found = "\n".join(plan)
    assert "uq_products_handle" in found
    assert "ix_products_deleted_handle" in found
    assert "Seq Scan" not in found
