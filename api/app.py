"""The application factory: a table of contents of the HTTP side."""

from flask import Flask
from flask_migrate import Migrate

import queries
import reads
from api import context, docs, express, faults, health, operations, problems, status
from api.commands import cli
from api.lean import LeanFlask
from api.logs import configure_logging
from api.v1 import (
    batch,
    events,
    exports,
    imports,
    jobs,
    keys,
    orders,
    products,
    stock,
    variants,
    webhooks,
)
from config import settings
from models import db
from schemas import ma


def create_app() -> Flask:
    """The Flask app: extensions, mechanics of every request, then one blueprint per resource."""
    app = LeanFlask("pushcart", static_folder=None)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=ENGINE_OPTIONS,
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
    )
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # schemas say the order
    configure_logging(settings.log_level)
    faults.report()

    db.init_app(app)
    ma.init_app(app)
    with app.app_context():
        reads.use(db.engine)
        reads.look_before_use(db.engine)
        queries.watch(db.engine)
    # Constraints and types change too: what the models say is what a migration compares.
    Migrate(app, db, compare_type=True)

    context.init_app(app)
    problems.init_app(app)
    cli.init_app(app)

    app.register_blueprint(health.blueprint)
    app.register_blueprint(status.blueprint)
    app.register_blueprint(products.blueprint, url_prefix="/api/v1/products")
    app.register_blueprint(batch.blueprint, url_prefix="/api/v1/products/batch")
    app.register_blueprint(variants.blueprint, url_prefix="/api/v1/variants")
    app.register_blueprint(imports.blueprint, url_prefix="/api/v1/imports")
    app.register_blueprint(exports.blueprint, url_prefix="/api/v1/exports")
    app.register_blueprint(orders.blueprint, url_prefix="/api/v1/orders")
    app.register_blueprint(stock.blueprint, url_prefix="/api/v1/stock")
    app.register_blueprint(jobs.blueprint, url_prefix="/api/v1/jobs")
    app.register_blueprint(keys.blueprint, url_prefix="/api/v1/keys")
    app.register_blueprint(events.blueprint, url_prefix="/api/v1/events")
    app.register_blueprint(webhooks.blueprint, url_prefix="/api/v1/webhooks")
    app.register_blueprint(docs.blueprint)
    operations.init_app(app)
    express.init_app(app)
    return app


ENGINE_OPTIONS = {
    "hide_parameters": True,  # in errors, which go to the log: they are what somebody has sent
    # Heroku's small plans allow 20 connections, shared by two overlapping releases.
    "pool_size": 3,
    "max_overflow": 0,
    "pool_use_lifo": True,  # the connection used last is the one whose server process is warm
    "pool_timeout": 5,  # then 503, well before Heroku's router gives up with H12
    "pool_recycle": 300,
    "executemany_mode": "values_plus_batch",  # hundreds of UPDATEs in a few round trips
    "connect_args": {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # ms: the same for a server that vanishes while we send to it
        # A runaway statement, a lock that never comes and a forgotten transaction all end.
        "options": "-c statement_timeout=10s -c lock_timeout=3s"
        " -c idle_in_transaction_session_timeout=15s -c timezone=UTC"
        # An index is worth its while on SSDs and in memory.
        " -c random_page_cost=1.1",
    },
}
