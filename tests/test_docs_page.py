"""`/docs` in a real browser that has no network but this server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.processes import Web

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_every_route_without_a_network(
    web: Web, app: Flask, tmp_path: Path
) -> None:
    shown, said = opened(f"{web.url}/docs", tmp_path)

    document = app.test_client().get("/openapi.json").get_json()
    names = [
        op["operationId"]
        for path in document["paths"].values()
        for m, op in path.items()
        if m != "parameters"
    ]
    assert "<title>Pushcart API</title>" in shown
    assert [name for name in names if f'-{name}"' not in shown] == []
    assert said == []


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_link_opens_a_route_with_its_examples_and_problems(web: Web, tmp_path: Path) -> None:
    shown, said = opened(f"{web.url}/docs#/products/createProduct", tmp_path)

    for part in ("Try it out", "Flat White", "handle_taken", "Idempotency-Key"):
        assert part in shown
    assert said == []


def opened(url: str, folder: Path) -> tuple[str, list[str]]:
    """The page as the browser has built it, and what stands in its console."""
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=20000", "--dump-dom", url,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )  # fmt: skip
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def test_the_page_lets_nothing_in_from_elsewhere(client: FlaskClient) -> None:
    response = client.get("/docs")

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "//" not in policy
    assert re.findall(r'(?:src|href)="(?!/)', response.text) == []


def test_the_page_loads_its_parts_once_a_year(client: FlaskClient) -> None:
    parts = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|png))"', client.get("/docs").text)

    assert len(parts) == 3
    for part in parts:
        with client.get(part) as response:
            assert response.status_code == 200
            assert response.cache_control.max_age == 365 * 24 * 60 * 60
            assert response.cache_control.public
