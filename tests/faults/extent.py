"""How much is done: in short by bin/test, in full by bin/faults, which sets the environment."""

import os
import random
import sys

import pytest

FULL = os.environ.get("FAULTS") == "full"

# For what takes long: bin/test has a minute for these tests.
only_in_full = pytest.mark.skipif(not FULL, reason="bin/faults does it")

KILLS = 3 if FULL else 1  # of the same process, one after the other
REDIS_GONE_SECONDS = 60.0 if FULL else 2.0
REDIS_SILENT_SECONDS = 5.0 if FULL else 2.0  # or full
POSTGRES_AWAY_SECONDS = 5.0 if FULL else 1.0
SOAK_SECONDS = float(os.environ.get("FAULTS_SOAK_SECONDS") or 60)
ORDERS = int(os.environ.get("FAULTS_ORDERS") or 5000)
# One seed for a whole run; each test prints it, and pytest shows that when the test fails.
SEED = int(os.environ.get("FAULTS_SEED") or random.randrange(sys.maxsize))
