"""The limit of placing orders: a loop on bare psycopg2 that sends the statements of the API.

They are recorded while the API places an order, and sent again with other values: of what is sold,
of ids and of keys. Nothing is parsed, checked or answered.
"""

import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from random import Random
from typing import Any

import psycopg2

from config import settings
from tests.stage import ADMIN
from tests.statements import statements
from wsgi import app

PROCESSES, CONNECTIONS = 2, 3  # of each process: as many as two processes of ours

Recorded = Sequence[tuple[str, dict[str, Any]]]


def recorded(body: str) -> Recorded:
    """What the API sends between BEGIN and COMMIT to place this order, which it does here."""
    client = app.test_client()
    for _ in range(2):  # what is sent once in a process is not what an order takes
        headers = {**ADMIN, "Idempotency-Key": secrets.token_hex(16)}
        with app.app_context(), statements() as sent:
            answer = client.post("/api/v1/orders", json=json.loads(body), headers=headers)
        if answer.status_code != 201:
            raise RuntimeError(f"no order: {answer.text}")
    return [
        (sql, {name: getattr(value, "adapted", value) for name, value in params.items()})
        for sql, params, _ in sent  # bytes come wrapped, and are to go to other processes
    ]


def rate(sent: Recorded, bodies: Sequence[str], seconds: float) -> float:
    """How many orders a second the loop places, on as many connections as our web processes."""
    with ProcessPoolExecutor(PROCESSES) as processes:
        counts = processes.map(_process, *zip(*[(sent, bodies, seconds)] * PROCESSES, strict=True))
        return sum(counts)


def _process(sent: Recorded, bodies: Sequence[str], seconds: float) -> float:
    rates: list[float] = []
    threads = [
        threading.Thread(target=lambda: rates.append(_place_all(sent, bodies, seconds)))
        for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(rates) < CONNECTIONS:
        raise RuntimeError("a connection has failed")
    return sum(rates)


def _place_all(sent: Recorded, bodies: Sequence[str], seconds: float) -> float:
    random = Random()  # noqa: S311  # no secret
    url = settings.database_url.replace("+psycopg2", "")
    options = "-c timezone=UTC -c random_page_cost=1.1"
    with closing(psycopg2.connect(url, options=options)) as connection:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            skus = [line["sku"] for line in json.loads(random.choice(bodies))["lines"]]
            _place(connection, sent, skus)
            count += 1
        return count / (time.perf_counter() - start)


def _place(connection: Any, sent: Recorded, skus: Sequence[str]) -> None:
    new: dict[str, Any] = {"skus": skus, "public_id": secrets.token_hex(16)}
    new["reference"] = new["public_id"]
    digest, lock = secrets.token_bytes(32), secrets.randbits(62)
    with connection.cursor() as cursor:
        for sql, params in sent:
            cursor.execute(sql, params | _other(params, new, digest, lock))
            rows = cursor.fetchall() if cursor.description else []
            if "skus" in params:  # what was locked
                new["variants"] = [row[0] for row in rows]
                new["stocks"] = [row[5] - 1 for row in rows]
                new["products"] = [row[1] for row in rows]
    connection.commit()


def _other(
    params: Mapping[str, Any], new: Mapping[str, Any], digest: bytes, lock: int
) -> dict[str, Any]:
    values = {**new, "digest": digest, "lock": lock}
    return {name: value for name, value in values.items() if name in params}
