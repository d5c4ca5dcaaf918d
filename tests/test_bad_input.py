"""Whatever arrives, the answer is a problem of RFC 9457 that says what was wrong, and where."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from tests.stage import created

URL = "/api/v1/products"
JSON = "application/json"


class Bad(NamedTuple):
    """A request, and what is to be said of it: status, code, and a pointer or parameter."""

    title: str
    status: int
    code: str
    place: str | None = None
    method: str = "POST"
    path: str = URL
    body: bytes | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = {}


def raw(title: str, body: str | bytes, status: int, code: str, place: str | None = None) -> Bad:
    """A body as it is, sent to create a product."""
    encoded = body if isinstance(body, bytes) else body.encode()
    return Bad(title, status, code, place, body=encoded)


def field(name: str, value: Any, code: str, place: str = "") -> Bad:
    """A good product but for one field; the fault lies in that field, at `place` inside it."""
    body = json.dumps({"name": "Tee", name: value}).encode()
    return Bad(f"{name}={value!r:.40}", 422, code, f"/{name}{place}", body=body)


def variant(name: str, value: Any, code: str, place: str = "") -> Bad:
    """A good product but for one field of its second variant."""
    return field("variants", [{"options": {"Size": "M"}}, {name: value}], code, f"/1/{name}{place}")


def query(sent: str, code: str, parameter: str, path: str = URL) -> Bad:
    """A list or a product, asked for with these parameters."""
    return Bad(f"?{sent}", 400, code, parameter, "GET", f"{path}?{sent}")


def idempotency_key(sent: str, path: str = URL, media_type: str = JSON) -> Bad:
    """A good request but for its Idempotency-Key."""
    headers, place = {"Idempotency-Key": sent}, "Idempotency-Key"
    title, code = f"{place}: {sent:.20}", "invalid_idempotency_key"
    return Bad(title, 400, code, place, "POST", path, b'{"name": "Tee"}', media_type, headers)


def new_key(name: str, value: Any, code: str, place: str = "") -> Bad:
    """A good key of the API but for one field."""
    body = json.dumps({"name": "Till", "scopes": ["jobs:read"], name: value}).encode()
    title = f"key {name}={value!r:.40}"
    return Bad(title, 422, code, f"/{name}{place}", path="/api/v1/keys", body=body)


def get(path: str, code: str = "product_not_found") -> Bad:
    """An address at which nothing lives."""
    return Bad(f"GET {path:.40}", 404, code, None, "GET", path)


BODIES = [
    raw("empty", "", 400, "invalid_json"),
    raw("cut off", '{"name": "Tee"', 400, "invalid_json"),
    raw("two values", "{} {}", 400, "invalid_json"),
    raw("single quotes", "{'name': 'Tee'}", 400, "invalid_json"),
    raw("a trailing comma", '{"name": "Tee",}', 400, "invalid_json"),
    raw("a byte order mark", b'\xef\xbb\xbf{"name": "Tee"}', 400, "invalid_json"),
    raw("not UTF-8", b'{"name": "T\xe9"}', 400, "invalid_encoding"),
    raw("UTF-16", '{"name": "Tee"}'.encode("utf-16"), 400, "invalid_encoding"),
    raw("a name twice", '{"name": "Tee", "name": "Mug"}', 400, "duplicate_name"),
    raw("a name twice inside", '{"metadata": {"a": 1, "\\u0061": 2}}', 400, "duplicate_name"),
    raw("NaN", '{"name": "Tee", "price": NaN}', 400, "invalid_json"),
    raw("Infinity", '{"name": "Tee", "metadata": {"a": -Infinity}}', 400, "invalid_json"),
    raw("1e999", '{"name": "Tee", "price": 1e999}', 400, "invalid_json"),
    raw("a huge exponent", f'{{"name": "Tee", "price": 1e-{"9" * 30}}}', 400, "invalid_json"),
    raw("zero, hugely", f'{{"metadata": {{"a": 0e{"9" * 30}}}}}', 400, "invalid_json"),
    raw("5,000 digits", f'{{"name": "Tee", "stock": {"9" * 5000}}}', 400, "invalid_json"),
    raw("100,000 arrays", '{"name": ' + "[" * 100_000 + "]" * 100_000 + "}", 400, "invalid_json"),
    raw("1,500 arrays", '{"metadata":' + "[" * 1500 + "]" * 1500 + "}", 400, "invalid_json"),
    raw("200 objects", '{"a":' * 200 + "1" + "}" * 200, 400, "invalid_json"),
    raw("a number beyond bigint", f'{{"name": "T", "stock": {2**63}}}', 422, "too_large", "/stock"),
    raw("an exponent", '{"name": "T", "price": 1.0e0}', 422, "not_a_number", "/price"),
    raw("an array", "[]", 422, "invalid_type", ""),
    raw("a string", '"Tee"', 422, "invalid_type", ""),
    raw("null", "null", 422, "invalid_type", ""),
    raw("an odd field", '{"name": "T", "a~/b": 1}', 422, "unknown_field", "/a~0~1b"),
    Bad("no media type", 415, "unsupported_media_type", body=b"{}", media_type=""),
    Bad("text", 415, "unsupported_media_type", body=b"{}", media_type="text/plain"),
    Bad("a form", 415, "unsupported_media_type", body=b"a=b",
        media_type="application/x-www-form-urlencoded"),
    Bad("a patch to create", 415, "unsupported_media_type", body=b"{}",
        media_type="application/merge-patch+json"),
    Bad("a JSON Patch", 415, "unsupported_media_type", None, "PATCH", f"{URL}/tee", b"[]",
        "application/json-patch+json"),
    Bad("too large", 413, "too_large", body=b" " * (settings.max_body_bytes + 1)),
]  # fmt: skip

# U+0661 and U+FF11 are digits too, in their scripts.
NO_NUMBERS: tuple[Any, ...] = (
    True, [], {}, "", "ten", "1e2", 1e22, "\u0661", "\uff11", " 1", "+1", "NaN", "1,5"
)  # fmt: skip
TOO_LARGE: tuple[Any, ...] = (10**12, "1000000000000", 10**400)
NO_INTEGERS: tuple[Any, ...] = ("5", 5.0, 5.5, True, [], {})

FIELDS = [
    *(field(name, 5, "not_text") for name in ("name", "handle", "description", "category", "sku")),
    *(field(name, {}, "not_text") for name in ("handle", "description", "vendor", "barcode")),
    *(field(name, " ", "blank") for name in ("handle", "vendor", "category", "sku", "barcode")),
    *(field(name, "a\0b", "nul_character") for name in ("handle", "description", "vendor", "sku")),
    *(field(name, "\ud800", "lone_surrogate") for name in ("handle", "description", "barcode")),
    *(field(name, "a\nb", "control_character") for name in ("handle", "vendor", "category", "sku")),
    *(field(name, "x" * 256, "too_long") for name in ("handle", "vendor", "sku", "barcode")),
    field("category", "x" * 513, "too_long"),
    field("description", "x" * (512 * 1024 + 1), "too_long"),
    field("handle", "a/b", "slash_in_handle"),
    field("status", "sold", "not_a_choice"),
    field("status", None, "required"),
    field("status", ["active"], "not_a_choice"),
    *(field(name, 5, "invalid_type") for name in ("tags", "options", "images", "metadata")),
    *(field(name, {}, "invalid_type") for name in ("tags", "options", "images", "variants")),
    *(field(name, None, "required") for name in ("tags", "images", "metadata", "variants")),
    field("tags", ["a", 5], "not_text", "/1"),
    field("tags", ["a", None], "required", "/1"),
    field("tags", [str(number) for number in range(251)], "too_many"),
    field("options", [str(number) for number in range(21)], "too_many"),
    field("images", [{"url": "https://a/b"}] * 251, "too_many"),
    field("images", [{"url": "https://a/b"}, "https://a/c"], "invalid_type", "/1"),
    field("images", [{"url": "ftp://a/b"}], "not_a_url", "/0/url"),
    field("images", [{"alt": "x"}], "required", "/0/url"),
    field("images", [{"url": "https://a/b", "size": 1}], "unknown_field", "/0/size"),
    field("metadata", [], "invalid_type"),
    field("metadata", {"a": [{"b": "\0"}]}, "nul_character"),
    field("metadata", {"\0": 1}, "nul_character"),
    field("metadata", {"a": {"\udfff": 1}}, "lone_surrogate"),
    field("variants", [{"options": {"n": str(n)}} for n in range(2049)], "too_many"),
    field("variants", ["M"], "invalid_type", "/0"),
    *(field(name, 1, "unknown_field") for name in ("id", "version", "created_at", "colour")),
    *(field("price", sent, "not_a_number") for sent in NO_NUMBERS),
    *(field("price", sent, "negative") for sent in ("-1", "-0.01")),
    *(field("price", sent, "too_many_decimals") for sent in ("0.001", "1.999")),
    *(field("price", sent, "too_large") for sent in TOO_LARGE),
    field("compare_at_price", False, "not_a_number"),
    *(field("weight_grams", sent, "not_a_number") for sent in NO_NUMBERS),
    field("weight_grams", -1, "negative"),
    field("weight_grams", 10**9, "too_large"),
    *(field("stock", sent, "not_an_integer") for sent in NO_INTEGERS),
    *(field("stock", sent, "too_large") for sent in (2**31, -(2**31), 10**400)),
    field("price", -1, "negative"),
    field("price", 0.001, "too_many_decimals"),
    field("backorder", 1, "invalid_type"),
    field("backorder", "true", "invalid_type"),
    field("backorder", None, "required"),
    variant("price", "-1", "negative"),
    variant("id", 1, "unknown_field"),
    variant("options", [], "invalid_type"),
    variant("options", {"Size": 5}, "not_text"),
    variant("options", {" ": "M"}, "blank"),
    variant("options", {str(number): "x" for number in range(21)}, "too_many"),
]  # fmt: skip

ADDRESSES = [
    *(query(f"limit={sent}", "out_of_range", "limit") for sent in ("0", "-1", "201", "1000000")),
    *(query(f"limit={sent}", "out_of_range", "limit") for sent in ("abc", "", "1.0", "%D9%A1")),
    query("limit=" + "9" * 5000, "out_of_range", "limit"),
    query("limit=1&limit=2", "repeated_parameter", "limit"),
    query("colour=red", "unknown_parameter", "colour"),
    query("limit[]=1", "unknown_parameter", "limit[]"),
    query("%00=1", "unknown_parameter", "\0"),
    query("limit=1", "unknown_parameter", "limit", f"{URL}/tee"),
    query("status=sold", "not_a_choice", "status"),
    query("status=", "not_a_choice", "status"),
    query("status=active%00", "not_a_choice", "status"),
    query("handle=", "blank", "handle"),
    query("handle=%00", "nul_character", "handle"),
    query("handle=a/b", "slash_in_handle", "handle"),
    query("cursor=%00", "invalid_cursor", "cursor"),
    *(query(f"sort={sent}", "not_a_choice", "sort") for sent in ("", "x", "%2Bname", "name,id")),
    *(query(f"include={sent}", "not_a_choice", "include") for sent in ("", "total", "count,count")),
    *(query(f"q={sent}", "blank", "q") for sent in ("", "%20", "%E2%80%83")),
    query("q=%00", "nul_character", "q"),
    query("q=a%0Ab", "control_character", "q"),
    query("q=" + "x" * 256, "too_long", "q"),
    *(query(f"fields={sent}", "out_of_range", "fields", url) for url in (URL, f"{URL}/tee")
      for sent in ("", ",".join(["id"] * 101))),
    *(query(f"fields={sent}", "unknown_field", "fields", url) for url in (URL, f"{URL}/tee")
      for sent in ("colour", "name,colour", "name,,id", "Name", "metadata_", "%00")),
    query("status[in]=draft,sold", "not_a_choice", "status[in]"),
    query("vendor[in]=", "out_of_range", "vendor[in]"),
    query("vendor[in]=" + ",".join(["x"] * 101), "out_of_range", "vendor[in]"),
    query("vendor[in]=a,,b", "blank", "vendor[in]"),
    *(query(f"sku[in]={sent}", "not_a_list", "sku[in]") for sent in ("%22a", "%22a%22b", "a%0Ab")),
    query("vendor[in]=a&vendor[in]=b", "repeated_parameter", "vendor[in]"),
    query("vendor[like]=a", "unknown_parameter", "vendor[like]"),
    query("tag[gt]=a", "unknown_parameter", "tag[gt]"),
    query("tag=%00", "nul_character", "tag"),
    query("tag[in]=a,%00", "nul_character", "tag[in]"),
    query("sku=a%0Ab", "control_character", "sku"),
    query("category=" + "x" * 513, "too_long", "category"),
    *(query(f"id={sent}", "not_an_id", "id") for sent in ("", "-1", "1.0", "%D9%A1", "9" * 19)),
    query("id[in]=1,x", "not_an_id", "id[in]"),
    *(query(f"price={sent}", "not_a_number", "price") for sent in ("", "1e3", "NaN", "9" * 41)),
    query("price[gte]=-1", "negative", "price[gte]"),
    query("price[lt]=0.001", "too_many_decimals", "price[lt]"),
    query("price[in]=1,1000000000000", "too_large", "price[in]"),
    *(query(f"stock={sent}", "not_an_integer", "stock") for sent in ("", "1.5", "x", "9" * 13)),
    query("stock[gt]=2147483648", "too_large", "stock[gt]"),
    *(query(f"created_at={sent}", "not_a_time", "created_at")
      for sent in ("", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z",
                   "2026-01-01T00:00:00+02:00", "0001-01-01T00:00:00%2B23:59", "1767225600")),
    query("updated_at[in]=2026-01-01T00:00:00Z,x", "not_a_time", "updated_at[in]"),
    Bad("a parameter on writing", 400, "unknown_parameter", "dry", path=f"{URL}?dry=1", body=b"{}"),
    *(get(f"{URL}/{ref}") for ref in ("no-such", "%00", "tee%00", "%FF", "%ED%A0%80", "%20", "%")),
    *(get(f"{URL}/{ref}") for ref in ("9" * 30, "9" * 5000, "9223372036854775808", "-1", "1e3")),
    *(get(f"{URL}/{ref}", "not_found") for ref in ("a%2Fb", "a/b", "tee/x")),
    *(get(path, "not_found") for path in ("/", "/api", "/api/v1", "/api/v1/nothing", "/%00")),
    Bad("patching nothing", 404, "product_not_found", None, "PATCH", f"{URL}/%00", b"{}"),
    Bad("deleting nothing", 404, "product_not_found", None, "DELETE", f"{URL}/%00"),
    Bad("PATCH of the list", 405, "method_not_allowed", None, "PATCH", URL, b"{}"),
    Bad("PUT of health", 405, "method_not_allowed", None, "PUT", "/healthz"),
    Bad("a method of one's own", 405, "method_not_allowed", None, "BREW", URL),
]  # fmt: skip

JOBS = [
    *(
        Bad(
            f"{url}?{sent}",
            400,
            code,
            sent.partition("=")[0],
            "POST",
            f"/api/v1/{url}?{sent}",
            b"x",
            "text/csv",
        )
        for url, sent, code in (
            ("imports", "mode=delete", "not_a_choice"),
            ("imports", "dry_run=1", "not_a_choice"),
            ("imports", "events=1", "not_a_choice"),
            ("imports", "blank=", "not_a_choice"),
            ("imports", "on_error=ignore", "not_a_choice"),
            ("imports", "encoding=klingon", "not_a_choice"),
            ("imports", "encoding=%00", "not_a_choice"),
            ("imports", "delimiter=x", "not_a_choice"),
            ("imports", "mapping=%7B", "invalid_json"),
            ("imports", "mapping=%7B%22a%22:%22b%22%7D", "unknown_field"),
            ("imports", "mapping=" + "[" * 9999, "invalid_json"),
            ("imports", "mode=create&mode=create", "repeated_parameter"),
            ("exports", "format=xml", "not_a_choice"),
            ("exports", "sort=id", "unknown_parameter"),
            ("exports", "price[gt]=free", "not_a_number"),
            ("exports", "q=%00", "nul_character"),
        )
    ),
    idempotency_key("", "/api/v1/exports"),
]

KEYS = [
    *(idempotency_key(sent) for sent in ("", '""', '"', '"a', '"a"b"', r'"\a"', '"a";b=1')),
    *(idempotency_key(sent) for sent in ("x" * 256, f'"{"x" * 256}"', "\xe9", '"\xe9"', "a\tb")),
    idempotency_key("x" * 256, "/api/v1/imports", "text/csv"),
    *(new_key("name", sent, code) for sent, code in ((5, "not_text"), ("", "blank"))),
    new_key("scopes", "jobs:read", "invalid_type"),
    new_key("scopes", {}, "invalid_type"),
    new_key("scopes", [], "required"),
    new_key("scopes", None, "required"),
    new_key("scopes", ["jobs:read", "jobs:all"], "not_a_choice", "/1"),
    new_key("expires_at", 5, "not_text"),
    new_key("expires_at", {}, "not_text"),
    *(new_key("expires_at", sent, "not_a_time") for sent in ("", "soon", "2026-02-30T00:00:00Z")),
    *(new_key("expires_at", sent, "not_a_time") for sent in ("2040-01-01", "2040-01-01T00:00:00")),
    new_key("expires_at", "2020-01-01T00:00:00Z", "in_the_past"),
    *(new_key(name, "x", "unknown_field") for name in ("key", "prefix", "created_by")),
    query("limit=0", "out_of_range", "limit", "/api/v1/keys"),
    query("cursor=x", "invalid_cursor", "cursor", "/api/v1/keys"),
    get(f"/api/v1/keys/{'9' * 30}", "key_not_found"),
]  # fmt: skip


HOOKS = "/api/v1/webhooks"


def hook(name: str, value: Any, code: str, place: str = "") -> Bad:
    """A good webhook but for one field."""
    body = json.dumps({"url": "https://erp.example/", name: value}).encode()
    title = f"webhook {name}={value!r:.40}"
    return Bad(title, 422, code, f"/{name}{place}", path=HOOKS, body=body)


NOT_TEXT: tuple[Any, ...] = (5, {}, [])
NOT_LISTS: tuple[Any, ...] = ("product.created", {}, 5)
WEBHOOKS = [
    *(hook("url", sent, "not_text") for sent in NOT_TEXT),
    hook("url", None, "required"),
    hook("url", " ", "blank"),
    hook("url", "https://a/\0", "nul_character"),
    hook("url", f"https://a/{'x' * 2048}", "too_long"),
    hook("url", f"https://a/{' ' * 2048}", "too_long"),
    *(hook("url", sent, "not_a_url") for sent in ("erp.example", "ftp://erp.example", "https://")),
    *(hook("url", sent, "invalid_endpoint") for sent in (
        "https://me:secret@erp.example/", "https://@erp.example/", "https://erp.example:0/",
        "https://erp.example:99999/", "https://erp.example:x/", "https://[::1/", "https://?a",
        "https://a..b/", f"https://{'a' * 70}.example/", "https://:80/", "https://a*/",
        "https://bücher.example/", "https://a/ü",
    )),
    *(hook("url", sent, "private_address") for sent in ("http://127.0.0.1", "https://[fc00::1]/")),
    *(hook("types", sent, "invalid_type") for sent in NOT_LISTS),
    hook("types", ["product.created", "sold"], "not_a_choice", "/1"),
    hook("enabled", "yes", "invalid_type"),
    *(hook(name, "x", "unknown_field") for name in ("secret", "id", "cursor", "disabled_because")),
    query("limit=0", "out_of_range", "limit", HOOKS),
    query("cursor=x", "invalid_cursor", "cursor", HOOKS),
    *(get(f"{HOOKS}/{wrong}", "webhook_not_found") for wrong in ("0", "9" * 30)),
    *(get(f"{HOOKS}/{wrong}", "not_found") for wrong in ("x", "-1", "deliveries")),
    *(get(f"{HOOKS}/{wrong}/deliveries", "webhook_not_found") for wrong in ("0", "9" * 30)),
    *(Bad(f"{method} a webhook: {wrong}", 404, "webhook_not_found", None, method,
          f"{HOOKS}/{wrong}", b"{}")
      for method in ("PATCH", "DELETE") for wrong in ("0", "9" * 30)),
    *(Bad(f"{action} a webhook: {wrong}", 404, "webhook_not_found", None, "POST",
          f"{HOOKS}/{wrong}/{action}", b'{"event_id": "evt_1"}')
      for action in ("test", "replay") for wrong in ("0", "9" * 30)),
    *(Bad(f"redelivering {wrong}", 404, "delivery_not_found", None, "POST",
          f"{HOOKS}/deliveries/{wrong}/redeliver") for wrong in ("0", "9" * 30)),
    *(Bad(f"replay from {sent!r:.20}", 422, code, "/event_id", "POST", f"{HOOKS}/0/replay",
          json.dumps({"event_id": sent}).encode())
      for sent, code in ((5, "not_text"), (None, "required"), ("7", "not_an_event"),
                         ("evt_", "not_an_event"), ("evt_" + "9" * 19, "not_an_event"),
                         ("evt_\u0661", "not_an_event"))),
]  # fmt: skip
EVENTS = [
    query("after=x", "invalid_cursor", "after", "/api/v1/events"),
    query("after=", "invalid_cursor", "after", "/api/v1/events"),
    query("type[in]=", "out_of_range", "type[in]", "/api/v1/events"),
    query("type[in]=product.created,sold", "not_a_choice", "type[in]", "/api/v1/events"),
    query("cursor=x", "unknown_parameter", "cursor", "/api/v1/events"),
    query("limit=0", "out_of_range", "limit", "/api/v1/events"),
]


def whole(sent: dict[str, Any], code: str, place: str, ref: str = "tee") -> Bad:
    """A product put at its address."""
    body = json.dumps({"name": "Tee", **sent}).encode()
    return Bad(f"PUT {ref:.20} {sent!r:.40}", 422, code, place, "PUT", f"{URL}/{ref}", body)


def by_sku(sent: Any, status: int, code: str, place: str | None, sku: str = "S") -> Bad:
    """A patch of a variant at its SKU."""
    path = f"/api/v1/variants/{sku}"
    title = f"PATCH variant {sku:.20} {sent!r:.40}"
    return Bad(title, status, code, place, "PATCH", path, json.dumps(sent).encode())


def batch(sent: dict[str, Any], code: str, place: str | None, status: int = 422) -> Bad:
    """A batch."""
    body = json.dumps(sent).encode()
    return Bad(f"batch {sent!r:.60}", status, code, place, path=f"{URL}/batch", body=body)


def item(sent: Any, code: str, place: str = "") -> Bad:
    """A batch of a good product and another one."""
    products = [{"handle": "new", "name": "New"}, sent]
    return batch({"products": products}, code, f"/products/1{place}")


NO_IDS: tuple[Any, ...] = (None, "5", True, 1.5, [], {})
NO_ARRAYS: tuple[Any, ...] = ({}, "x", 5, True)
NO_OBJECTS: tuple[Any, ...] = (None, 5, "tee", [], [{}], True)

WRITES = [
    whole({"name": None}, "required", "/name"),
    whole({"variants": None}, "required", "/variants"),
    whole({"variants": {}}, "invalid_type", "/variants"),
    whole({"variants": [None]}, "required", "/variants/0"),
    whole({"variants": [{"id": 2**70}]}, "unknown_variant", "/variants/0/id"),
    whole({"variants": [{"id": []}]}, "unknown_variant", "/variants/0/id"),
    whole({"id": 2**70}, "read_only", "/id"),
    whole({"id": {}}, "read_only", "/id"),
    *(whole({"handle": 5}, "not_text", "/handle", ref) for ref in ("tee", "new")),
    whole({"colour": "red"}, "unknown_field", "/colour", "new"),
    whole({}, "nul_character", "/handle", "%00"),
    whole({}, "too_long", "/handle", "x" * 256),
    Bad("PUT of an id", 404, "product_not_found", None, "PUT", f"{URL}/{'9' * 40}", b"{}"),
    *(Bad(f"restoring {ref:.9}", 404, "product_not_found", None, "POST", f"{URL}/{ref}/restore")
      for ref in ("no-such", "%00", "9" * 40, "%FF", "x" * 300)),
    by_sku({"stock": "5"}, 422, "not_an_integer", "/stock"),
    by_sku({"price": {}}, 422, "not_a_number", "/price"),
    by_sku({"colour": None}, 404, "variant_not_found", None, "%00"),
    by_sku({"colour": 1}, 422, "unknown_field", "/colour"),
    by_sku({"sku": "T"}, 422, "read_only", "/sku"),
    by_sku({"id": 2**70}, 422, "read_only", "/id"),
    by_sku([], 422, "invalid_type", ""),
    get("/api/v1/variants/a%00b", "variant_not_found"),
    get("/api/v1/variants/", "not_found"),
    get(f"/api/v1/variants/{'x' * 3000}", "variant_not_found"),
    query("x=1", "unknown_parameter", "x", "/api/v1/variants/S"),
    batch({}, "required", "/products"),
    batch({"products": None}, "required", "/products"),
    *(batch({"products": wrong}, "invalid_type", "/products") for wrong in NO_ARRAYS),
    batch({"products": [], "mode": "some"}, "not_a_choice", "/mode"),
    batch({"products": [], "mode": None}, "required", "/mode"),
    batch({"products": [], "dry": 1}, "unknown_field", "/dry"),
    batch({"products": [[]] * 100_000}, "too_large", None, 413),
    *(item(wrong, "invalid_type") for wrong in NO_OBJECTS),
    item({}, "required", "/name"),
    item({"handle": "new", "name": "N"}, "duplicate_item"),
    *(item({"id": wrong}, "not_an_id", "/id") for wrong in NO_IDS),
    *(item({"id": wrong}, "product_not_found") for wrong in (0, -1, 2**63, 2**70, 10**300)),
    item({"handle": 5}, "not_text", "/handle"),
    item({"handle": "a\0b"}, "nul_character", "/handle"),
    item({"handle": "a/b"}, "slash_in_handle", "/handle"),
    item({"sku": []}, "not_text", "/sku"),
    item({"sku": "\ud800"}, "lone_surrogate", "/sku"),
    item({"name": "\0"}, "nul_character", "/name"),
    item({"name": ["x" * 600]}, "not_text", "/name"),
    item({"name": "x", "version": 1}, "unknown_field", "/version"),
    item({"handle": "tee", "version": 9}, "read_only", "/version"),
    item({"handle": "tee", "id": 2**70}, "product_not_found"),
    *(item({name: "tee", "variants": wrong}, "invalid_type", "/variants")
      for name in ("handle", "name") for wrong in NO_ARRAYS),
    item({"handle": "tee", "variants": None}, "invalid_type", "/variants"),
    item({"handle": "tee", "variants": [None]}, "invalid_type", "/variants/0"),
    item({"name": "x", "variants": [None]}, "required", "/variants/0"),
    item({"handle": "tee", "variants": [{"id": 2**70}]}, "unknown_variant", "/variants/0/id"),
    item({"handle": "tee", "variants": [{"options": []}]}, "invalid_type", "/variants/0/options"),
    item({"handle": "tee", "variants": [{"sku": {}}]}, "not_text", "/variants/0/sku"),
    item({"sku": "S", "variants": []}, "both_at_once", "/sku"),
    item({"handle": "tee", "metadata": {"\0": 1}}, "nul_character", "/metadata"),
]  # fmt: skip


def bought(name: str, value: Any, code: str, place: str = "", status: int = 422) -> Bad:
    """A good order but for one field."""
    sent = {"email": "a@b.c", "lines": [{"sku": "S", "quantity": 1}], name: value}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    title, body = f"order {name}={value!r:.40}", json.dumps(sent).encode()
    place = f"/{name}{place}"
    return Bad(title, status, code, place, path="/api/v1/orders", body=body, headers=headers)


def bought_line(sent: Any, code: str, place: str = "") -> Bad:
    """An order of a good line and another one."""
    return bought("lines", [{"sku": "S", "quantity": 1}, sent], code, f"/1{place}")


def adjusted(sent: Any, code: str, place: str = "", status: int = 422) -> Bad:
    """A good adjustment but for what is sent beside."""
    entry = {"sku": "S", "delta": 1, "reason": "found", **sent}
    entry = {name: value for name, value in entry.items() if value != "absent"}
    body = json.dumps({"adjustments": [entry]}).encode()
    title, path = f"adjust {sent!r:.50}", "/api/v1/stock/adjustments"
    return Bad(title, status, code, f"/adjustments/0{place}", path=path, body=body)


NO_EMAILS = ("", "a", "a@", "@b", "a b@c", "a@b@c", "a@-b", "a@b..c", "Ada <a@b.c>", "a@b.c\n",
             "\u00e9@b.c", "a@b_c", f"{'x' * 65}@b.c")  # fmt: skip

NO_TEXTS: tuple[Any, ...] = (5, [], {})
NO_ENTRIES: tuple[Any, ...] = (5, "S", [])

ORDERS = [
    *(bought("email", sent, "not_an_email") for sent in NO_EMAILS),
    *(bought("email", sent, "not_text") for sent in NO_TEXTS),
    bought("email", None, "required"),
    bought("email", "x" * 300, "too_long"),
    bought("note", 5, "not_text"),
    bought("note", "\0", "nul_character"),
    bought("note", "x" * 4001, "too_long"),
    bought("metadata", [], "invalid_type"),
    bought("metadata", {"a": "\0"}, "nul_character"),
    bought("colour", "red", "unknown_field"),
    *(bought(name, "x", "unknown_field") for name in ("id", "status", "total", "token")),
    bought("lines", [], "required"),
    bought("lines", None, "required"),
    bought("lines", {}, "invalid_type"),
    bought("lines", [{"sku": "S", "quantity": 1}] * 201, "too_many"),
    *(bought_line(sent, "invalid_type") for sent in NO_ENTRIES),
    bought_line(None, "required"),
    bought_line({"quantity": 1}, "required", "/variant_id"),
    bought_line({"sku": None, "quantity": 1}, "required", "/variant_id"),
    bought_line({"sku": "S"}, "required", "/quantity"),
    bought_line({"sku": "S", "variant_id": 5, "quantity": 1}, "both_at_once", "/sku"),
    *(bought_line({"sku": "S", "quantity": n}, "out_of_range", "/quantity")
      for n in (0, -1, 10**6 + 1, 10**400)),
    *(bought_line({"sku": "S", "quantity": n}, "not_an_integer", "/quantity")
      for n in NO_INTEGERS),
    *(bought_line({"variant_id": n, "quantity": 1}, "out_of_range", "/variant_id")
      for n in (0, -1, 2**63, 10**400)),
    *(bought_line({"variant_id": n, "quantity": 1}, "not_an_integer", "/variant_id")
      for n in NO_INTEGERS),
    bought_line({"sku": "a\0", "quantity": 1}, "nul_character", "/sku"),
    bought_line({"sku": "\ud800", "quantity": 1}, "lone_surrogate", "/sku"),
    bought_line({"sku": "S", "quantity": 1, "price": "1"}, "unknown_field", "/price"),
    *(bought_line({"sku": "S", "quantity": 1, name: "1"}, "unknown_field", f"/{name}")
      for name in ("unit_price", "total", "options", "name")),
    bought_line({"sku": "none", "quantity": 1}, "unknown_variant", "/sku"),
    Bad("order without a key", 400, "idempotency_key_required", "Idempotency-Key",
        path="/api/v1/orders", body=b"{}"),
    *(query(f"email={sent}", "not_an_email", "email", "/api/v1/orders") for sent in ("", "a")),
    query("email=%00", "nul_character", "email", "/api/v1/orders"),
    query("status=paid", "not_a_choice", "status", "/api/v1/orders"),
    query("created_at[gt]=now", "not_a_time", "created_at[gt]", "/api/v1/orders"),
    query("cursor=x", "invalid_cursor", "cursor", "/api/v1/orders"),
    *(query(f"token={sent}", code, "token", f"/api/v1/orders/{'0' * 32}")
      for sent, code in (("", "blank"), ("%00", "nul_character"), ("a%0Ab", "control_character"))),
    *(get(f"/api/v1/orders/{ref}", "order_not_found") for ref in ("%00", "x", "9" * 5000, "%FF")),
    Bad("canceling nothing", 404, "order_not_found", None, path="/api/v1/orders/%00/cancel"),
    adjusted({"delta": "absent"}, "required", "/delta"),
    adjusted({"set": 1}, "both_at_once", "/set"),
    adjusted({"set": None}, "both_at_once", "/set"),
    adjusted({"delta": None}, "required", "/delta"),
    *(adjusted({"delta": n}, "not_an_integer", "/delta") for n in NO_INTEGERS),
    *(adjusted({"delta": n}, "too_large", "/delta") for n in (2**31, -(2**31), 10**400)),
    *(adjusted({"delta": "absent", "set": n}, "not_an_integer", "/set") for n in NO_INTEGERS),
    *(adjusted({"expected": n}, "not_an_integer", "/expected") for n in NO_INTEGERS),
    *(adjusted({"reason": r}, code, "/reason") for r, code in
      (("absent", "required"), (None, "required"), ("", "blank"), (5, "not_text"),
       ("a\nb", "control_character"), ("x" * 256, "too_long"))),
    adjusted({"sku": "absent"}, "required", "/variant_id"),
    adjusted({"sku": "none"}, "unknown_variant", "/sku"),
    adjusted({"why": 1}, "unknown_field", "/why"),
    Bad("adjusting by a list", 422, "invalid_type", "", path="/api/v1/stock/adjustments",
        body=b"[]"),
    Bad("adjusting nothing", 422, "required", "/adjustments", path="/api/v1/stock/adjustments",
        body=b"{}"),
    *(query(f"variant_id={sent}", "not_an_id", "variant_id", "/api/v1/stock/movements")
      for sent in ("", "-1", "x", "9" * 19)),
    query("reason=theft", "not_a_choice", "reason", "/api/v1/stock/movements"),
    query("reference=%00", "nul_character", "reference", "/api/v1/stock/movements"),
    query("sku=", "blank", "sku", "/api/v1/stock/movements"),
    query("cursor=x", "invalid_cursor", "cursor", "/api/v1/stock/movements"),
]  # fmt: skip


def problem_of(response: TestResponse) -> dict[str, Any]:
    """The problem in an answer, which is well-formed and no fault of ours."""
    problem: dict[str, Any] = json.loads(response.data)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.status_code == problem["status"] < 500
    for name in ("type", "title", "detail", "code", "request_id"):
        assert problem[name], name
        assert isinstance(problem[name], str), name
    assert problem["request_id"] == response.headers["X-Request-ID"]
    for leaked in ("psycopg2", "sqlalchemy", "Traceback", "SELECT"):
        assert leaked not in response.text
    return problem


@pytest.mark.parametrize(
    "bad",
    [*BODIES, *FIELDS, *ADDRESSES, *JOBS, *KEYS, *EVENTS, *WEBHOOKS, *WRITES, *ORDERS],
    ids=lambda bad: bad.title,
)
def test_bad_input_is_answered_by_a_problem_that_names_it(admin: FlaskClient, bad: Bad) -> None:
    created(admin, handle="tee", sku="S", price="1", stock=1)

    response = admin.open(
        bad.path,
        method=bad.method,
        data=bad.body,
        content_type=bad.media_type or None,
        headers=bad.headers,
    )

    problem = problem_of(response)
    fault, *others = problem.get("errors", [problem])
    assert others == []
    assert (response.status_code, fault["code"]) == (bad.status, bad.code), problem
    assert fault.get("pointer", fault.get("parameter")) == bad.place


@pytest.mark.parametrize("path", [URL, f"{URL}/tee", "/api/v1/orders/x", "/api/v1/jobs"])
def test_a_query_in_raw_bytes_is_answered_by_a_problem(admin: FlaskClient, path: str) -> None:
    response = admin.get(path, environ_overrides={"QUERY_STRING": "limit=\xff&token=\xff"})

    assert problem_of(response)["errors"][0]["parameter"] in ("limit", "token")


def test_every_fault_of_a_body_is_told_at_once(admin: FlaskClient) -> None:
    sent = {"name": "", "tags": [1], "variants": [{"price": "x", "sku": 5}], "x": 1}

    response = admin.post(URL, json=sent)

    assert {fault["pointer"] for fault in problem_of(response)["errors"]} >= {
        "/name", "/tags/0", "/variants/0/price", "/variants/0/sku", "/x"
    }  # fmt: skip


def test_a_name_is_all_that_a_product_without_one_is_asked_for(admin: FlaskClient) -> None:
    problem = problem_of(admin.post(URL, json={}))

    assert [fault["pointer"] for fault in problem["errors"]] == ["/name"]
