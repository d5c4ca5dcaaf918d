"""`gunicorn.conf.py` for a test that would otherwise wait as long as a client may take."""

import runpy

from api import serving

globals().update(runpy.run_path("gunicorn.conf.py"))
serving.ARRIVAL_SECONDS = 1
