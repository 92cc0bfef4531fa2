"""Errors of requests to a shop, and of its messages."""

from gateway.plugin import Unavailable


class ShopUnreachable(Unavailable):
    """A call to a shop failed; ``word`` is the reason in the delivery log.

    ``status`` is the HTTP status if there was a response, ``excerpt`` the shop's error text,
    ``retry_after_seconds`` the pause it asks for.
    """

    def __init__(
        self,
        word: str,
        *,
        status: int | None = None,
        excerpt: bytes = b"",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"The call to the shop failed ({word}); see gateway shopify status.")
        self.word = word
        self.status = status
        self.excerpt = excerpt
        self.retry_after_seconds = retry_after_seconds


class Unreadable(ValueError):
    """A webhook's body doesn't fit its topic; the text has the reason, without any value."""
