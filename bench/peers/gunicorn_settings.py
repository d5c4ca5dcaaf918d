"""How gunicorn serves the WSGI peers: threaded workers, as its docs recommend for keep-alive.

No `max_requests` and no access log, to the peers' advantage.
"""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = "gthread"
workers = 2
threads = 4
keepalive = 95
