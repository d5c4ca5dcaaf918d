"""`GET /api/v1/products?q=`: what a search finds, in which order, and what it forgives."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog import listing, products
from catalog.listing import SORTS
from catalog.tasks import import_catalogue
from models import db
from tests.paging import URL, names, walked
from tests.stage import created


def found(client: FlaskClient, q: str, **others: Any) -> list[str]:
    """The names of the products that a search finds, in its order."""
    return names(client.get(URL, query_string={"q": q, **others}))


# A thousand products have a word that is somewhat like another one, which the last alone has.
SIMILAR = """
INSERT INTO products (handle, name, search_words, document)
SELECT 'p-' || n, word, setweight(to_tsvector('simple', word), 'A'), to_json(word)::text
FROM generate_series(1, 1001) n, LATERAL (
    SELECT CASE WHEN n > 1000 THEN 'cappuccino' ELSE 'capuchin' END AS word
) named
"""


def fill(admin: FlaskClient, *names: str, **fields: Any) -> None:
    """Create a product of each of these names."""
    for name in names:
        created(admin, name=name, **fields)


# --- what comes first -------------------------------------------------------------------------


def test_names_come_before_everything_else(admin: FlaskClient) -> None:
    fill(admin, "Described", description="a kettle, a kettle and one more kettle")
    fill(admin, "Tagged", tags=["kettle"])
    fill(admin, "Steel kettle")

    assert found(admin, "kettle") == ["Steel kettle", "Tagged", "Described"]


def test_no_number_of_beginnings_takes_a_hit_before_one_of_a_better_kind(
    admin: FlaskClient,
) -> None:
    words = " ".join(f"ket{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    fill(admin, "Described", description=words)
    fill(admin, "Tagged", tags=words.split())
    fill(admin, words)
    fill(admin, "One kettle")
    fill(admin, "begins", sku="ket-1")
    fill(admin, "exact", sku="ket")

    assert found(admin, "ket") == ["exact", "begins", words, "One kettle", "Tagged", "Described"]


def test_an_exact_sku_comes_before_names_and_before_skus_that_begin_like_it(
    admin: FlaskClient,
) -> None:
    fill(admin, "ab-1 by name")
    fill(admin, "begins", sku="AB-10")
    fill(admin, "exact", sku="AB-1")

    for q in ("AB-1", "ab-1"):
        assert found(admin, q) == ["exact", "begins", "ab-1 by name"]


def test_an_exact_handle_comes_first(admin: FlaskClient) -> None:
    fill(admin, "Blue Mug", "Blue Mug")  # blue-mug and blue-mug-2
    created(admin, name="Cup", handle="mug-blue")

    assert found(admin, "blue-mug-2")[0] == "Blue Mug"
    assert found(admin, "mug-blue")[0] == found(admin, "Mug Blue")[0] == "Cup"
    assert names(admin.get(f"{URL}?q=blue-mug-2&limit=1&handle=blue-mug-2")) == ["Blue Mug"]


def test_hits_that_fit_alike_come_in_the_order_of_their_ids(admin: FlaskClient) -> None:
    fill(admin, "Kettle", "Kettle", "Kettle")

    ids = [row["id"] for row in walked(admin, q="kettle")]

    assert ids == sorted(ids)
    assert len(ids) == 3


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("Kettle", "kettle"),
        ("Kettle", "KETTLE"),
        ("КОФЕ", "кофе"),
        ("Café", "cafe"),
        ("Cafe", "café"),
        ("Cafe", "Cafe\u0301"),
        ("Phở", "pho"),
        ("Pho", "phở"),
        ("Ångström", "angstrom"),
        ("Angstrom", "ÅNGSTRÖM"),
        ("Straße", "strasse"),
        ("Strasse", "straße"),
        ("Smørrebrød", "smorrebrod"),
        ("Łódź", "lodz"),
        ("日本茶", "日本茶"),
        ("T-Shirt", "shirt"),
        ("T-Shirt", "t-shirt"),
        ("T-Shirt", "T Shirt"),
        ("T\u2011Shirt", "t-shirt"),
        ("Men's Coat", "men's"),
        ("Men's Coat", "men"),
        ("Men\u2019s Coat", "men's"),
        ("Men's Coat", "men\u2019s coat"),
        ("A/B_C.D@E", "b"),
        ("www.example.com/shop", "example"),
        ("Kettle 1.5 l", "kettle 1.5"),
        ("Steel Kettle (Black)", "black steel"),
        ("Steel Kettle", "steel ket"),
        ("Steel Kettle", "  steel \u00a0 kettle!"),
        ("Dr. O'Neil & Sons", "o'neil & sons"),
    ],
)  # fmt: skip
def test_words_are_found_whatever_their_case_accents_and_punctuation(
    admin: FlaskClient, name: str, q: str
) -> None:
    fill(admin, name, "Zzz", description="nothing")

    assert found(admin, q) == [name]
    assert found(admin, q, sort="name") == [name]


@pytest.mark.parametrize(
    "q", ["ste kettle", "kettle red", "ettle", "steel -kettle red", "!steel x"]
)
def test_every_word_is_wanted_and_only_the_last_may_be_a_beginning(
    admin: FlaskClient, q: str
) -> None:
    fill(admin, "Steel Kettle")
    fill(admin, "Kettle red steel ste ettle x")  # so that nothing is forgiven

    assert found(admin, q) == ["Kettle red steel ste ettle x"]


def test_one_letter_begins_no_other_word(admin: FlaskClient) -> None:
    fill(admin, "Kettle", "Vitamin K")

    assert found(admin, "k") == ["Vitamin K"]
    assert found(admin, "ke") == ["Kettle"]


@pytest.mark.parametrize(
    "q", ["kettle acme", "acme kettle", "kitchen red acme", "shiny steel", "kettle shiny red acm"]
)
def test_the_words_may_stand_in_different_fields(admin: FlaskClient, q: str) -> None:
    fill(
        admin, "Kettle", vendor="Acme", category="Kitchen > Steel", tags=["red", "hot"],
        description="So shiny.",
    )  # fmt: skip
    fill(admin, "Pot", vendor="Acme", category="Kitchen", description="So dull.")

    assert found(admin, q) == ["Kettle"]


def test_tags_attributes_and_entities_of_html_are_no_words(admin: FlaskClient) -> None:
    html = '<p class="lead">Very<strong>hot</strong>&nbsp;&amp; steel&#39;s</p>'
    fill(admin, "Kettle", description=html)

    for word in ("strong", "lead", "class", "p", "nbsp", "amp", "39"):
        assert found(admin, word) == []
    assert found(admin, "very hot steel") == ["Kettle"]


def test_only_the_beginning_of_a_very_long_description_is_searched(admin: FlaskClient) -> None:
    filler = "".join(f" w{number}" for number in range(70_000))  # more than a tsvector may hold
    fill(admin, "Kettle", description=f"early{filler} late")

    assert found(admin, "early") == ["Kettle"]
    assert found(admin, "late") == []


def test_the_longest_fields_can_be_searched(admin: FlaskClient) -> None:
    long = {"name": "名 " * 256, "vendor": "商" * 255, "category": "類" * 512}
    created(admin, **long, tags=[f"{number:03}" + "札" * 252 for number in range(250)])

    assert len(found(admin, "名")) == 1


# --- SKUs -------------------------------------------------------------------------------------


def test_a_sku_is_found_by_its_beginning_in_any_variant(admin: FlaskClient) -> None:
    variants = [{"options": {"Size": size}, "sku": f"KET/{size}"} for size in "SM"]
    fill(admin, "Kettle", variants=variants)
    fill(admin, "Pot", sku="POT/S")

    for q in ("ket/", "KET/S", "ket/m"):
        assert found(admin, q) == found(admin, q, sort="-price") == ["Kettle"]
    assert found(admin, "et/S") == []


@pytest.mark.parametrize("q", ["%", "_", "5%", "5_", "\\", "5\\", "%_"])
def test_wildcards_stand_for_themselves(admin: FlaskClient, q: str) -> None:
    fill(admin, "other", sku="5-other")
    fill(admin, "wanted", sku=f"{q}x")

    assert found(admin, q) == found(admin, q, sort="id") == ["wanted"]


@pytest.mark.parametrize(
    "q", ["!", "-", "&", "|", "' '", "()", ":*", "a:*|b", "<->", '"', "🎁", "—", "%s", "%(p0)s",
          "{0}", "$$", ";--", "'); DROP TABLE products; --", "\u200b", "x" * 255, "a " * 127]
)  # fmt: skip
def test_signs_find_nothing_and_break_nothing(admin: FlaskClient, q: str) -> None:
    fill(admin, "Product")  # whose handle is what a name without letters is given

    for sort in (None, "name", "-price"):
        assert found(admin, q, **({"sort": sort} if sort else {})) == []


# --- misspelling ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "name"),
    [
        ("kettel", "Steel Kettle"),
        ("espreso", "Espresso Machine"),
        ("espreso mashine", "Espresso Machine"),
        ("capuccino", "Cappuccino Cup"),
        ("Capuccíno", "Cappuccino Cup"),
        ("stell kettle", "Steel Kettle"),
    ],
)
def test_small_errors_of_typing_are_forgiven(admin: FlaskClient, q: str, name: str) -> None:
    fill(admin, "Steel Kettle", "Espresso Machine", "Cappuccino Cup", "Apron")

    assert found(admin, q) == found(admin, q, sort="-id") == [name]


@pytest.mark.parametrize(
    "q",
    ["smegg", "SMÉGG", "kitchin", "espreso smegg", "kitchin mashine", "inox",
     "mashine kitchin espreso smegg", "expresso-mashine"],
)  # fmt: skip
def test_errors_are_forgiven_in_all_but_descriptions(admin: FlaskClient, q: str) -> None:
    fill(
        admin, "Espresso Machine", handle="one", vendor="SMEGA", category="Home > Kitchen",
        tags=["Inoxx"],
    )  # fmt: skip
    fill(admin, "Apron", vendor="Thread", category="Textiles", description="Espresso Kitchen Smega")

    assert found(admin, q) == found(admin, q, sort="-id") == ["Espresso Machine"]


def test_every_word_is_wanted_in_what_is_forgiven_too(admin: FlaskClient) -> None:
    fill(admin, "Steel Kettle", "Steel Pan", "Copper Kettle")

    assert found(admin, "stel ketle") == found(admin, "stel ketle", sort="id") == ["Steel Kettle"]
    assert found(admin, "stel bicycle") == []


def test_a_code_is_found_as_it_is_or_not_at_all(admin: FlaskClient) -> None:
    fill(admin, "Galaxy S21", "Galaxy S22", "Galaxy 2021")

    assert found(admin, "galaxi s21") == found(admin, "galaxi s21", sort="id") == ["Galaxy S21"]
    assert found(admin, "galaxi 2021") == ["Galaxy 2021"]
    assert found(admin, "galaxi s23") == found(admin, "s23") == []


def test_a_word_that_no_product_has_any_more_is_no_dead_end(admin: FlaskClient) -> None:
    for number, name in enumerate(("Kettel", "Ketel", "Kettell")):
        created(admin, name=name, handle=f"p-{number}")
    for number in (0, 1):
        admin.patch(f"{URL}/p-{number}", json={"name": "Kettle"})
    admin.delete(f"{URL}/p-2")

    for q in ("kettel", "ketle"):
        assert found(admin, q) == found(admin, q, sort="id") == ["Kettle", "Kettle"]


def test_a_rare_word_that_is_meant_is_not_lost_among_others_like_it(session: Session) -> None:
    session.execute(text(SIMILAR))
    session.commit()

    hits = listing.page(listing.Selection(("active",), q="capuccino"), 3)

    assert len(hits) == 3
    assert json.loads(hits[0].document) == "cappuccino"


def test_several_nearest_words_may_meet_in_any_way(admin: FlaskClient) -> None:
    fill(admin, "Still Kettles", "Still Kettle", "Steel Kettles", "Steel Kettle", "Steel Pan")

    every = found(admin, "stell ketle")

    assert every[0] == "Steel Kettle"
    assert sorted(every[1:]) == ["Steel Kettles", "Still Kettle", "Still Kettles"]


def test_what_is_most_alike_comes_first(admin: FlaskClient) -> None:
    fill(admin, "Capuchin", "Cappuccino")

    assert found(admin, "capuccino") == ["Cappuccino", "Capuchin"]


def test_nothing_is_forgiven_where_something_is_found(admin: FlaskClient) -> None:
    fill(admin, "Kettle", "Kettel")

    assert found(admin, "kettel") == found(admin, "kettel", sort="name") == ["Kettel"]
    assert found(admin, "kettle") == ["Kettle"]


def test_what_is_nothing_alike_is_not_found(admin: FlaskClient) -> None:
    fill(admin, "Kettle", "Apron")

    assert found(admin, "bicycle") == found(admin, "bicycle", sort="name") == []


# --- with everything else ---------------------------------------------------------------------


@pytest.fixture
def many(admin: FlaskClient) -> None:
    """Seven kettles that are found in different ways, and three other things."""
    fill(admin, "Kettle", "Kettle", "Steel Kettle", "Kettle red", price="5.00")
    fill(admin, "Cup", "Pan", description="goes with a kettle")
    fill(admin, "Pot", sku="kettle-1", price="4.00")
    fill(admin, "Apron", "Bicycle", "Hat")


@pytest.mark.parametrize(("q", "hits"), [("kettle", 7), ("kettel", 4)])  # names alone are forgiven
def test_the_pages_of_a_search_are_complete(
    admin: FlaskClient, many: None, q: str, hits: int
) -> None:
    for sort in ({}, *({"sort": sort} for sort in SORTS)):
        query = {"q": q, "include": "count", **sort}
        whole = admin.get(URL, query_string=query).get_json()

        assert len(whole["data"]) == whole["count"] == hits
        for limit in (1, 3):
            assert walked(admin, **query, limit=limit) == whole["data"]


def test_a_cursor_of_the_best_hits_is_none_of_a_sort(admin: FlaskClient, many: None) -> None:
    ranked = admin.get(f"{URL}?q=kettle&limit=1").get_json()["next"]

    for other in (f"{ranked}&sort=name", ranked.replace("q=kettle&", "")):
        response = admin.get(other)
        assert (response.status_code, response.get_json()["code"]) == (400, "invalid_cursor")


NARROWED: tuple[tuple[str, dict[str, str], list[str]], ...] = (
    ("kettle", {"price": "4"}, ["Pot"]),
    ("kettle", {"sku": "kettle-1"}, ["Pot"]),
    ("kettle-1", {"price": "6"}, []),
    ("kettle", {"price[gt]": "4", "handle[in]": "kettle,pot"}, ["Kettle"]),
    ("kettle", {"vendor": "Nobody"}, []),
    ("kettel", {"handle[in]": "steel-kettle,apron"}, ["Steel Kettle"]),
    ("kettel", {"vendor": "Nobody"}, []),
)


@pytest.mark.parametrize("sort", [{}, {"sort": "name"}])
def test_filters_narrow_a_search_down(admin: FlaskClient, many: None, sort: dict[str, str]) -> None:
    for q, others, expected in NARROWED:
        page = admin.get(URL, query_string={"q": q, "include": "count", **others, **sort})

        assert names(page) == expected
        assert page.get_json()["count"] == len(expected)


def test_a_sort_orders_what_was_found(admin: FlaskClient, many: None) -> None:
    assert found(admin, "kettle", sort="name") == [
        "Cup", "Kettle", "Kettle", "Kettle red", "Pan", "Pot", "Steel Kettle"
    ]  # fmt: skip
    assert found(admin, "kettle", sort="price")[0] == "Pot"


@pytest.mark.parametrize("q", ["kettle", "kettel", "KET-1", "hidden-kettle", "ket"])
@pytest.mark.parametrize("status", ["draft", "archived"])
def test_a_visitor_finds_only_what_is_active(
    admin: FlaskClient, client: FlaskClient, q: str, status: str
) -> None:
    fill(admin, "Kettle", handle="hidden-kettle", sku="KET-1", status=status)

    for sort in ({}, {"sort": "name"}):
        assert found(client, q, **sort) == []
        assert found(client, q, **sort, status=status) == []
        assert found(admin, q, **sort) == ["Kettle"]
    page = client.get(f"{URL}?q={q}&include=count").get_json()
    assert (page["count"], page["count_exact"]) == (0, True)


# --- what changes -----------------------------------------------------------------------------


def test_a_changed_product_is_found_by_what_it_says_now(admin: FlaskClient) -> None:
    created(admin, name="Kettle", handle="one", vendor="Acme", sku="KET-1", tags=["steel"])

    change = {"name": "Pot", "vendor": None, "tags": ["copper"], "sku": "POT-1"}
    assert admin.patch(f"{URL}/one", json=change).status_code == 200

    for q in ("pot", "copper", "pot-1"):
        assert found(admin, q) == ["Pot"]
    for q in ("kettle", "kettel", "acme", "steel", "ket-1"):
        assert found(admin, q) == []


def test_a_deleted_product_is_not_found_until_it_is_restored(admin: FlaskClient) -> None:
    product = created(admin, name="Kettle", handle="one", sku="KET-1")
    ways = ("kettle", "kettel", "one", "KET-1")

    admin.delete(f"{URL}/one")
    while_deleted = [found(admin, q) + found(admin, q, sort="name") for q in ways]
    restored = admin.post(f"{URL}/{product['id']}/restore")

    assert while_deleted == [[]] * len(ways)
    assert restored.status_code == 200, restored.text
    for q in ways:
        assert found(admin, q) == found(admin, q, sort="name") == ["Kettle"]


def test_writers_of_the_same_new_word_do_not_wait_for_each_other(
    app: Flask, admin: FlaskClient
) -> None:
    with app.app_context(), db.engine.begin() as first, db.engine.begin() as second:
        second.execute(text("SET LOCAL statement_timeout = '2s'"))
        for number, writer in enumerate((first, second, first, second)):
            with Session(writer) as session:
                products.create(session, {"name": "Zylinder", "handle": f"hat-{number}"})
                session.flush()

    assert found(admin, "zilinder", sort="id") == ["Zylinder"] * 4
    assert found(admin, "zilinder") == ["Zylinder"] * 4


def test_what_a_file_brings_is_found(app: Flask, admin: FlaskClient) -> None:
    created(admin, name="Kettle", handle="one", price="9.00")
    created(admin, name="Lamp", handle="two", price="5.00")

    file = "handle,name,vendor,sku,price\none,Pot,Acmé,POT-1,4\nnew,Cup,,,\n"
    job = admin.post("/api/v1/imports", data=file, content_type="text/csv").get_json()
    with app.app_context():
        import_catalogue.run(job["id"])

    assert found(admin, "kettle") == []
    assert found(admin, "acme pot") == found(admin, "pot-1") == found(admin, "pott") == ["Pot"]
    assert found(admin, "acmme pot") == ["Pot"]
    assert found(admin, "cup") == ["Cup"]
    assert names(admin.get(f"{URL}?sort=price")) == ["Pot", "Lamp", "Cup"]
