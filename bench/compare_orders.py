"""Places orders through the API and through a bare loop, in turn, and prints the two rates.

`bench/orders` runs it; `bench/README.md` says what is measured and what must hold.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median

from sqlalchemy import text

from bench import bare_orders, fill, load
from bench.contenders import Ours
from config import settings
from models import db
from tests.ordering import WRONG_SUMS
from tests.processes import BIN, ROOT
from wsgi import app

LINES = 3  # of an order, each of another product
SCRIPT = ROOT / "bench" / "orders.lua"
WARM_UP_SECONDS = 3
_ORDERS = 5_000  # different ones, which come again


def bodies() -> list[str]:
    """Orders of what is for sale, of which there is enough."""
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE variants SET stock = 1000000000"))
        skus = connection.execute(
            text(
                "SELECT min(v.sku) FROM variants v JOIN products p ON p.id = v.product_id"
                " WHERE p.status = 'active' GROUP BY p.id ORDER BY p.id"
            )
        ).scalars()
        found = [*skus]
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE variants, stock_movements"))
        connection.execute(text("CHECKPOINT"))
    random = Random("orders")  # noqa: S311  # the same ones each time
    return [
        json.dumps(
            {
                "email": f"buyer-{number}@example.com",
                "lines": [{"sku": sku, "quantity": 1} for sku in random.sample(found, LINES)],
            }
        )
        for number in range(_ORDERS)
    ]


def compare(folder: Path, chosen: argparse.Namespace) -> None:
    """Make and print the measurements."""
    subprocess.run([BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, check=True)
    fill.grow_to(chosen.products)
    orders = bodies()
    file = folder / "orders"
    file.write_text("\n".join(orders) + "\n")
    sent = bare_orders.recorded(orders[0])
    print(f"An order takes {len(sent)} statements, BEGIN and COMMIT: {len(sent) + 2} round trips")
    loads, bare = [], []
    for number in range(1, chosen.rounds + 1):
        place = folder / f"round-{number}"
        place.mkdir()
        with Ours(place) as ours:
            for seconds in (WARM_UP_SECONDS, chosen.seconds):
                seen = load.run(
                    ours.url, file, settings.admin_api_key or "", chosen.connections, seconds,
                    script=SCRIPT,
                )  # fmt: skip
        loads.append(seen)
        bare.append(bare_orders.rate(sent, orders, chosen.seconds))
        print(
            f"Round {number}: {seen.requests_per_second:,.0f}/s, p50 {seen.p50_ms:.1f} ms,"
            f" p99 {seen.p99_ms:.1f} ms, {seen.errors} errors; bare {bare[-1]:,.0f}/s",
            flush=True,
        )
    rate = median(seen.requests_per_second for seen in loads)
    p50, p99 = (median(getattr(seen, name) for seen in loads) for name in ("p50_ms", "p99_ms"))
    print(f"Medians: {rate / median(bare):.2f} of the bare loop (target: 0.4),", end=" ")
    print(f"p99 / p50 {p99 / p50:.1f} (target: below 5)")
    _check(sum(seen.errors for seen in loads))


def _check(errors: int) -> None:
    with db.engine.connect() as connection:
        wrong = connection.execute(text(WRONG_SUMS)).all()
    if errors or wrong:
        sys.exit(f"{errors} errors, and {len(wrong)} variants whose ledger is not their stock")


def main(arguments: Sequence[str]) -> None:
    """Measure with the numbers given."""
    parser = argparse.ArgumentParser(prog="bench/orders", description=__doc__)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=10, help="of each round, for each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args(arguments)
    logging.getLogger().setLevel(logging.WARNING)
    load.program()  # before the tables are filled for nothing
    with tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder, app.app_context():
        compare(Path(folder), chosen)


if __name__ == "__main__":
    main(sys.argv[1:])
