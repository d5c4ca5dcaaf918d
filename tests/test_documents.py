"""The read model: what PostgreSQL renders is what the schema says, and never out of date."""

import json
import os
import subprocess
import unicodedata
from decimal import Decimal
from typing import Any

from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from catalog import documents, products
from models import Product, db
from reads import read
from schemas import ProductSchema
from tests.processes import BIN, ROOT
from tests.stage import created

# Each example rolls back, so that one session serves them all.
bounded = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Cs cannot be stored, Zl and Zp are line breaks, and what Python does not know yet (Cn) may be
# composed differently by PostgreSQL.
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
labels = (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"]), max_size=20)
    .map(lambda value: unicodedata.normalize("NFC", value).strip())
    .filter(bool)
)
handles = labels.filter(lambda value: "/" not in value)
money = st.decimals(0, 10**12 - 1, places=2).map(str)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
variant_fields: dict[str, st.SearchStrategy[Any]] = {
    "sku": st.none() | labels,
    "price": st.none() | money,
    "compare_at_price": st.none() | money,
    "barcode": st.none() | labels,
    "weight_grams": st.none() | st.decimals(0, 10**9 - 1, places=3).map(str),
    "stock": st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
    "backorder": st.booleans(),
}
variants = st.lists(
    st.fixed_dictionaries(
        {"options": st.dictionaries(labels, labels, max_size=3)}, optional=variant_fields
    ),
    max_size=4,
    unique_by=lambda variant: json.dumps(variant["options"], sort_keys=True),
)
sent_products = st.fixed_dictionaries(
    {"name": labels, "handle": handles},
    optional={
        "description": st.none() | any_text,
        "status": st.sampled_from(["draft", "active", "archived"]),
        "vendor": st.none() | labels,
        "category": st.none() | labels,
        "tags": st.lists(labels, max_size=4),
        "options": st.lists(labels, max_size=3),
        "images": st.lists(
            st.fixed_dictionaries(
                {"url": st.sampled_from(["https://a/b?c=d&e=%20", "http://h/é"])},
                optional={"alt": st.none() | labels},
            ),
            max_size=3,
        ),
        "metadata": st.dictionaries(any_text, json_values, max_size=3),
        "variants": variants,
    },
)


def exactly(document: str) -> Any:
    """JSON with its numbers as they are: `Decimal`, so that 0.1 is 0.1."""
    return json.loads(document, parse_int=Decimal, parse_float=Decimal)


def dumped(session: Session, product_id: int) -> str:
    """What the schema says of the product as it stands in the database."""
    session.expire_all()
    return json.dumps(ProductSchema().dump(session.get_one(Product, product_id)))


@bounded
@given(sent=sent_products)
def test_a_document_is_what_the_schema_dumps(session: Session, sent: dict[str, Any]) -> None:
    stored = products.create(session, sent)

    assert exactly(stored.document) == exactly(dumped(session, stored.id))
    session.rollback()


@bounded
@given(sent=sent_products, change=sent_products)
def test_so_is_the_document_of_a_changed_product(
    session: Session, sent: dict[str, Any], change: dict[str, Any]
) -> None:
    stored = products.create(session, sent)

    changed = products.patch(session, str(stored.id), {**change, "variants": []})

    assert exactly(changed.document) == exactly(dumped(session, stored.id))
    assert json.loads(changed.document)["name"] == unicodedata.normalize("NFC", change["name"])
    session.rollback()


def test_a_product_sent_back_as_it_was_read_stays_the_same(session: Session) -> None:
    sent = {"name": "Tee", "price": "19.9", "weight_grams": "180.5", "metadata": {"n": 0.1}}
    stored = products.create(session, sent)
    read_only = ("id", "version", "created_at", "updated_at")
    shown = json.loads(stored.document)

    changed = products.patch(
        session, str(stored.id), {name: shown[name] for name in shown.keys() - {*read_only}}
    )

    assert changed.document == stored.document


def test_a_document_is_rendered_in_the_transaction_that_writes_it(session: Session) -> None:
    stored = products.create(session, {"name": "Tee"})
    query = text("SELECT document FROM products WHERE id = :id")

    inside = session.execute(query, {"id": stored.id}).scalar_one()
    outside = read(query, {"id": stored.id})
    session.rollback()

    assert json.loads(inside)["name"] == "Tee"
    assert outside == []
    assert read(query, {"id": stored.id}) == []


def test_a_rolled_back_change_leaves_the_document_as_it_was(session: Session) -> None:
    stored = products.create(session, {"name": "Tee"})
    session.commit()

    products.patch(session, str(stored.id), {"name": "Mug"})
    session.rollback()

    assert products.document(str(stored.id), ["active"]).document == stored.document.encode()


def test_variants_stand_in_the_order_in_which_they_were_sent(session: Session) -> None:
    sizes = [str(size) for size in range(60, 0, -1)]

    stored = products.create(
        session, {"name": "Tee", "variants": [{"options": {"Size": size}} for size in sizes]}
    )

    shown = json.loads(stored.document)["variants"]
    assert [variant["options"]["Size"] for variant in shown] == sizes


def make_outdated(session: Session) -> None:
    """Let every document look as if other code had rendered it."""
    session.execute(text("UPDATE products SET document = '{}', document_shape = 0"))
    session.commit()


def test_only_documents_of_another_shape_are_rendered_again(session: Session) -> None:
    for name in ("Tee", "Mug", "Cap"):
        products.create(session, {"name": name})
    make_outdated(session)
    kept = products.create(session, {"name": "Pen"})

    first = documents.render_outdated(session, limit=2)
    second = documents.render_outdated(session, first[-1], limit=2)

    assert (len(first), len(second)) == (2, 1)
    assert documents.render_outdated(session, second[-1], limit=2) == []
    assert not documents.are_outdated(session)
    shown = session.scalars(select(Product.document).order_by(Product.id)).all()
    assert [json.loads(document)["name"] for document in shown] == ["Tee", "Mug", "Cap", "Pen"]
    assert shown[-1] == kept.document


def test_a_release_renders_what_an_earlier_release_has_rendered(admin: FlaskClient) -> None:
    product = created(admin, name="Tee", price="19.90")
    with admin.application.app_context():
        make_outdated(db.session())

    subprocess.run(
        [BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, env=os.environ, check=True
    )

    assert admin.get(f"/api/v1/products/{product['id']}").get_json() == product
