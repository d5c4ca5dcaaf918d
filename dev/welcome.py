"""What a newcomer meets once Pushcart is up: a sample catalogue, and three commands to try."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx

SAMPLE = Path(__file__).with_name("sample.csv")
IMPORT_TIMEOUT_SECONDS = 60.0

BANNER = """
  Pushcart is up: {address}/api/v1/products
  The local key:  {key}

  Try, in a second terminal:
    curl '{address}/api/v1/products?limit=3'
    curl -H 'Authorization: Bearer {key}' -H 'Content-Type: text/csv' \\
         --data-binary @dev/sample.csv {address}/api/v1/imports
    .venv/bin/flask --app wsgi shell

  Ctrl-C ends everything.
"""


def welcome(app: subprocess.Popen[bytes], port: int, key: str) -> None:
    """Wait until the app is ready, import the sample on an empty database, print the banner."""
    address = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=10) as client:
        if not ready(app, client):
            return
        try:
            if not client.get("/api/v1/products?limit=1").raise_for_status().json()["data"]:
                import_sample(app, client)
        except httpx.HTTPError as error:
            say(f"The sample catalogue was not imported: {error}")
    say(BANNER.format(address=address, key=key))


def ready(app: subprocess.Popen[bytes], client: httpx.Client) -> bool:
    """Wait until the app is ready; return False if it ends before that."""
    while app.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/readyz").is_success:
                return True
        time.sleep(0.1)
    return False


def import_sample(app: subprocess.Popen[bytes], client: httpx.Client) -> None:
    """Import the sample through the worker, as any client would."""
    say("The catalogue is empty: importing dev/sample.csv through the worker")
    answer = client.post(
        "/api/v1/imports", content=SAMPLE.read_bytes(), headers={"Content-Type": "text/csv"}
    )
    job = answer.raise_for_status().headers["Location"]
    deadline = time.monotonic() + IMPORT_TIMEOUT_SECONDS
    while app.poll() is None and time.monotonic() < deadline:
        state = client.get(job).raise_for_status().json()
        if state["ready"]:
            counts = (f"{count} {what}" for what, count in state["progress"].items() if count)
            say(f"The import {state['status']}: {', '.join(counts)}")
            return
        time.sleep(0.2)
    say(f"The import is still not done; see {job}")


def say(text: str) -> None:
    """Print at once, between the lines of web and worker."""
    print(text, flush=True)
