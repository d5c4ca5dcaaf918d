"""The digest of what is low in stock, to whoever runs the shop; nothing low, no mail."""

from email.message import EmailMessage
from functools import partial
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from config import settings
from jobs.running import RunningJob
from models import JSONObject, Product, Variant
from notify import mail
from notify.sending import deliver

KIND = "low-stock"
_MOST = 200  # variants in a mail; of more it tells the number


def run(job: RunningJob, session: Session) -> JSONObject:
    """Send the digest, if there is somebody to send it to, and something to tell.

    Raises Undeliverable, TurnOver, LeaseLost.
    """
    low = _low(session) if settings.shop_email else []
    session.rollback()  # no connection is held while the server takes its time
    total = low[0].total if low else 0
    if low:
        deliver(job, partial(_composed, job.id, low, total), _nothing_to_record)
    return {"low": total}


def _low(session: Session) -> list[Row[Any]]:
    """The variants of active products with LOW_STOCK pieces or less, the fewest first."""
    lowest = (
        select(
            Product.name,
            Product.handle,
            Variant.sku,
            Variant.options,
            Variant.stock,
            func.count().over().label("total"),
        )
        .join(Product, Product.id == Variant.product_id)
        .where(
            Variant.stock <= settings.low_stock,
            Product.deleted_at.is_(None),
            Product.status == "active",
        )
        .order_by(Variant.stock, Variant.product_id, Variant.id)
        .limit(_MOST)
    )
    return list(session.execute(lowest))


def _composed(job_id: int, low: list[Row[Any]], total: int) -> EmailMessage:
    subject = f"Low stock: {total} variant{'' if total == 1 else 's'}"
    shown = {"low": low, "total": total, "limit": settings.low_stock}
    return mail.compose(settings.shop_email, subject, "low_stock", f"low-stock.{job_id}", **shown)


def _nothing_to_record(_session: Session, _status: str, _reason: str | None) -> None:
    """The job itself tells all."""
