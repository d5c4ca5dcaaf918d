"""Clients that take their time, or never end: the shop goes on beside them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx
import pytest

from config import settings
from tests.processes import Web
from tests.stage import ADMIN

PRODUCTS = "/api/v1/products"
KEY = f"Authorization: Bearer {settings.admin_api_key}\r\n"
CROWD = 200
# What is sent at once, and what then comes in drops; none of them ever ends.
SLOW = {
    "silence": ("", ""),
    "a head": ("GET /healthz HTTP/1.1\r\nHost: a\r\n", "X: 1\r\n"),
    "a body": (f"POST {PRODUCTS} HTTP/1.1\r\nHost: a\r\n{KEY}Content-Length: 500\r\n\r\n", "{"),
    "a large body": (
        f"POST {PRODUCTS} HTTP/1.1\r\nHost: a\r\n{KEY}Content-Length: 500000\r\n\r\n", "{",
    ),
    "chunks": (
        f"POST {PRODUCTS} HTTP/1.1\r\nHost: a\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n",
        "1\r\n{\r\n",
    ),
    "an upload that nobody reads": (
        "POST /api/v1/imports HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n", "x",
    ),
    "no end": ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ""),
    "the next request": ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /", "a"),
}  # fmt: skip


@pytest.fixture(scope="module")
def patient(migrated: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web dyno's two processes."""
    with Web(tmp_path_factory.mktemp("web"), "--workers=2") as running:
        yield running


@contextmanager
def crowd(web: Web, at_once: str, drops: str) -> Iterator[None]:
    """Two hundred clients of a kind, sending on and on."""
    ended = Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(web)) for _ in range(CROWD)]
        for client in clients:
            client.sendall(at_once.encode())

        def go_on() -> None:
            while not ended.wait(0.3):
                for client in clients:
                    try:
                        client.send(drops.encode())
                    except OSError:  # the server has had enough of it
                        continue

        sending = Thread(target=go_on)
        sending.start()
        try:
            yield
        finally:
            ended.set()
            sending.join()


def connected(web: Web) -> socket.socket:
    """A connection to the server."""
    address = urlsplit(web.url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), 20)


@pytest.mark.parametrize("kind", SLOW)
def test_two_hundred_slow_clients_do_not_keep_others_waiting(patient: Web, kind: str) -> None:
    with crowd(patient, *SLOW[kind]):
        time.sleep(0.7)
        times = []
        for _ in range(10):
            started = time.monotonic()
            answer = httpx.get(patient.url + PRODUCTS, timeout=10)
            times.append(time.monotonic() - started)
            assert answer.status_code == 200

    assert max(times) < 2, times


def test_what_comes_slowly_but_comes_is_answered(patient: Web) -> None:
    body = json.dumps({"name": "Slow"})
    head = f"POST {PRODUCTS} HTTP/1.1\r\nHost: a\r\n{KEY}Content-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    with connected(patient) as client:
        for position in range(0, len(request), 40):
            client.sendall(request[position : position + 40].encode())
            time.sleep(0.05)
        answer = client.makefile().read()

    assert answer.startswith("HTTP/1.1 201 ")
    assert json.loads(answer.partition("\n\n")[2])["name"] == "Slow"


def test_requests_that_come_together_are_answered_one_by_one(patient: Web) -> None:
    last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with connected(patient) as client:
        client.sendall(("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + last).encode())

        assert client.makefile().read().count("HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after 100 Continue"])
def test_a_large_file_is_streamed(patient: Web, waits: bool) -> None:
    content = b"name,price\n" + b"Tee,1.00\n" * 100_000
    headers = {**ADMIN, "Content-Type": "text/csv", **({"Expect": "100-continue"} if waits else {})}

    answer = httpx.post(f"{patient.url}/api/v1/imports", content=content, headers=headers)

    assert answer.status_code == 202, answer.text


HEAD_TOO_LARGE = "request_header_fields_too_large"
CHUNKED = (
    "POST /api/v1/products HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    f"Authorization: {ADMIN['Authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 9000 + "\r\n\r\n", 431, HEAD_TOO_LARGE),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "X: a\r\n" * 80 + "\r\n", 431, HEAD_TOO_LARGE),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "X: aaaaaaaaaa\r\n" * 9000, 431, HEAD_TOO_LARGE),
        ("GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", 400, "bad_request"),
        ("NOTHING\r\n\r\n", 400, "bad_request"),
        (CHUNKED + "zz\r\n", 400, "bad_request"),
        (CHUNKED + "1\r\n{}\r\n0\r\n\r\n", 400, "bad_request"),
    ],
)
def test_what_is_no_request_or_too_large_is_a_problem_too(
    patient: Web, request_: str, status: int, code: str
) -> None:
    with connected(patient) as client:
        client.sendall(request_.encode())
        head, _, body = client.makefile(newline="").read().partition("\r\n\r\n")

    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"X-Request-ID: {problem['request_id']}\r\n" in head


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), (ADMIN, 413)],
    ids=["without a key", "larger than allowed"],
)
def test_a_body_that_is_not_read_does_not_hang_the_connection(
    patient: Web, headers: dict[str, str], status: int
) -> None:
    with httpx.Client(base_url=patient.url, headers=headers, timeout=8) as client:
        for _ in range(3):
            sent = {"Content-Type": "application/json"}
            answer = client.post(PRODUCTS, content=b"x" * 1_100_000, headers=sent)
            assert answer.status_code == status


@pytest.mark.usefixtures("migrated")
def test_a_request_that_does_not_arrive_is_told_so(tmp_path: Path) -> None:
    with Web(tmp_path, "--config=tests/hasty_gunicorn.py") as web, connected(web) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        answer = client.makefile().read()

    assert answer.startswith("HTTP/1.1 408 Request Timeout")


# --- whom to believe ----------------------------------------------------------------------------


@pytest.mark.parametrize(("router", "scheme"), [("0", "http"), ("1", "https")])
@pytest.mark.usefixtures("migrated")
def test_only_behind_a_router_the_scheme_is_taken_from_a_header(
    tmp_path: Path, router: str, scheme: str
) -> None:
    sent = {**ADMIN, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
            "Host": "shop.example", "SCRIPT_NAME": "/evil", "PATH_INFO": "/evil"}  # fmt: skip
    with Web(tmp_path, TRUST_FORWARDED_FOR=router, FORWARDED_ALLOW_IPS="*") as web:
        for name in ("one", "two"):
            httpx.post(web.url + PRODUCTS, json={"name": name}, headers=ADMIN)
        page = httpx.get(f"{web.url}{PRODUCTS}?limit=1", headers=sent).json()

    assert page["next"].startswith(f"{scheme}://shop.example{PRODUCTS}?")
