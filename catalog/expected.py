"""The state in which a writer expects a product: what If-Match and If-None-Match say, without HTTP.

A service checks it once it holds the product's lock: nobody can write between check and change,
and so nobody's change is lost.
"""

from collections.abc import Container
from dataclasses import dataclass

from errors import PreconditionFailed, PreconditionRequired
from models import Product

State = tuple[int, int]  # a product's id and version: together they never come again


class _Every:
    """Every state that there is."""

    def __contains__(self, state: object) -> bool:
        return True


EVERY = _Every()


@dataclass(frozen=True, slots=True)
class Expected:
    """The states that a writer allows, and those that it rules out; None for no such condition."""

    match: Container[State] | None = None
    none_match: Container[State] | None = None
    required: bool = False  # whether what exists is changed only with `match`

    def check(self, product: Product | None) -> None:
        """Compare with the locked product, or with None where there is none.

        Raises PreconditionFailed, PreconditionRequired. The order is RFC 9110's (§13.2.2).
        """
        state = None if product is None else (product.id, product.version)
        if self.match is not None and (state is None or state not in self.match):
            now = "does not exist" if product is None else f"is at version {product.version} now"
            raise PreconditionFailed(f"The product {now}, which is not what If-Match says.")
        if self.none_match is not None and state is not None and state in self.none_match:
            raise PreconditionFailed("The product exists, in a state that If-None-Match rules out.")
        if self.required and self.match is None and state is not None:
            raise PreconditionRequired("Send If-Match with the ETag of the product as you know it.")


UNCONDITIONAL = Expected()
