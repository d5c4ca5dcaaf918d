"""Clients at work, faults at random: the checker proves from the log that all promises held."""

import random
from collections import Counter
from pathlib import Path

from tests.faults import soak
from tests.faults.checker import findings, read_log
from tests.faults.extent import SOAK_SECONDS, only_in_full
from tests.faults.stack import Stack


@only_in_full
def test_random_faults_lose_nothing_acknowledged_and_repeat_nothing(
    stack: Stack, chance: random.Random, tmp_path: Path
) -> None:
    log = soak.Log(tmp_path / "soak.ndjson")
    print(f"log: {log.path}")

    soak.run(stack, log, chance, SOAK_SECONDS)

    records = list(read_log(log.path))
    seen = Counter(record.get("operation", record["record"]) for record in records)
    print(dict(seen))
    assert findings(records) == []
    assert all(seen[kind] for kind in ("fault", "create", "put", "patch", "read", "import", "job"))
