"""An order's id, which nobody can guess, and the token that shows the order without a key.

The token follows from the id and the server's secret, as a signature does. So it is stored nowhere,
a mail can hold it at any time, and a new `SECRET_KEY` ends all tokens.
"""

import hmac
import re
import secrets

from config import settings

_ID = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """128 random bits, in hexadecimal digits."""
    return secrets.token_hex(16)


def is_id(sent: str) -> bool:
    """Whether it has the form of an order's id."""
    return _ID.fullmatch(sent) is not None


def token_of(order_id: str) -> str:
    """What shows the order with this id to whoever has it."""
    return hmac.digest(settings.secret_key.encode(), f"order.{order_id}".encode(), "sha256").hex()


def opens(token: str, order_id: str) -> bool:
    """Whether the token is this order's; takes the same time for all."""
    return hmac.compare_digest(token.encode(), token_of(order_id).encode())
