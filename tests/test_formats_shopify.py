"""Shopify's CSV: what its rows mean here, and that nothing is lost between writing and reading."""

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.formats import shopify
from tests.documents import Document, documents, read, stored, written


@given(st.lists(documents(), min_size=1, max_size=3, unique_by=lambda found: found["handle"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_is_read_back_as_it_was(products: list[Document]) -> None:
    found, refusals = read(shopify, written(shopify, products))

    assert refusals == []
    assert stored(found) == products
