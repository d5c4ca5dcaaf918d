"""How much is done: in short by bin/test, in full by bin/faults, which sets the environment."""

import os
import random
import sys

FULL = os.environ.get("FAULTS") == "full"

KILLS = 8 if FULL else 3  # of the same process, one after the other
REDIS_AWAY_SECONDS = 60.0 if FULL else 4.0
POSTGRES_AWAY_SECONDS = 5.0 if FULL else 1.0
SOAK_SECONDS = float(os.environ.get("FAULTS_SOAK_SECONDS") or (120 if FULL else 8))
# One seed for a whole run; each test prints it, and pytest shows that when the test fails.
SEED = int(os.environ.get("FAULTS_SEED") or random.randrange(sys.maxsize))
