"""A client that openapi-python-client makes from the document does what shops do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from config import settings
from tests.processes import BIN, Web

NAME = "pushcart_client"
CONFIG = {
    "post_hooks": [],  # it is not read by anyone
    "content_type_overrides": dict.fromkeys(
        ("text/csv", "application/csv", "text/plain", "application/x-ndjson", "*/*"),
        "application/octet-stream",
    ),
}


@pytest.fixture(scope="module")
def package(migrated: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The generated package, importable; no warning may come up while it is made."""
    folder = tmp_path_factory.mktemp("client")
    document, config = folder / "openapi.json", folder / "config.json"
    document.write_text(migrated.test_client().get("/openapi.json").text)
    config.write_text(json.dumps(CONFIG))
    done = subprocess.run(
        [
            BIN / "openapi-python-client", "generate", "--path", document, "--config", config,
            "--meta", "none", "--output-path", folder / NAME, "--fail-on-warning",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for module in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[module]


@pytest.fixture
def shop(package: None, app: Flask, web: Web) -> Iterator[SimpleNamespace]:
    """The client with a key, and `call`, which calls an operation of it."""
    client_class = import_module(f"{NAME}.client").AuthenticatedClient
    with client_class(base_url=web.url, token=settings.admin_api_key) as client:

        def call(name: str, *args: Any, **given: Any) -> Any:
            return import_module(f"{NAME}.api.{name}").sync_detailed(*args, client=client, **given)

        yield SimpleNamespace(call=call, models=import_module(f"{NAME}.models"))


def test_a_product_is_created_read_changed_replaced_and_deleted(shop: SimpleNamespace) -> None:
    new = shop.models.ProductInput(name="Flat White", price="3.50", stock=12, tags=["coffee"])

    created = shop.call("products.create_product", body=new, idempotency_key="flat-white-1")
    again = shop.call("products.create_product", body=new, idempotency_key="flat-white-1")
    read = shop.call("products.get_product", created.parsed.handle)
    change = shop.models.ProductPatch(price=3.8, vendor="Pushcart")
    etag = read.headers["ETag"]
    changed = shop.call("products.patch_product", "flat-white", body=change, if_match=etag)
    stale = shop.call("products.patch_product", "flat-white", body=change, if_match=etag)
    variant = shop.models.VariantReplacement(id=read.parsed.variants[0].id, stock=7)
    whole = shop.models.ProductReplacement(name="Flat White", variants=[variant])
    replaced = shop.call("products.put_product", "flat-white", body=whole)
    deleted = shop.call("products.delete_product", "flat-white")
    gone = shop.call("products.get_product", "flat-white")

    assert created.status_code == 201
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.parsed == created.parsed == read.parsed
    assert created.parsed.variants[0].price == "3.50"
    assert [changed.parsed.variants[0].price, changed.parsed.vendor] == ["3.80", "Pushcart"]
    assert [stale.status_code, stale.parsed.code] == [412, "precondition_failed"]
    assert [replaced.parsed.variants[0].stock, replaced.parsed.vendor] == [7, None]
    assert deleted.status_code == 204
    assert [gone.status_code, gone.parsed.code] == [404, "product_not_found"]


def test_pages_are_followed_to_the_end(shop: SimpleNamespace) -> None:
    for number in range(5):
        new = shop.models.ProductInput(name=f"Mug {number}")
        shop.call("products.create_product", body=new)

    names: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = shop.call("products.list_products", limit=2, **cursor).parsed
        names += [product.name for product in page.data]
        cursor = {"cursor": parse_qs(urlsplit(page.next_ or "").query).get("cursor", [""])[0]}

    assert names == [f"Mug {number}" for number in range(5)]
    assert page.next_ is None


def test_what_is_refused_comes_as_a_problem(shop: SimpleNamespace) -> None:
    refused = shop.call("products.create_product", body=shop.models.ProductInput(name=" "))

    assert refused.status_code == 422
    assert [fault.pointer for fault in refused.parsed.errors] == ["/name"]
