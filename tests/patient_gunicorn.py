"""`gunicorn.conf.py` with a long wait for Redis, for tests in which each request has to count.

On a machine that is busy Redis may take more than its 50 ms, and the request would then pass
without being counted, as it should.
"""

import runpy

from api import counters

globals().update(runpy.run_path("gunicorn.conf.py"))
counters.BUDGET_SECONDS = 10.0  # for the connections that each worker makes after it has forked
