"""gunicorn's door: `gunicorn wsgi:app`, and the app of `flask --app wsgi …`."""

from tasks import app

__all__ = ["app"]
