"""What may go wrong with a call to a shop, or with what it sends."""

from gateway.plugin import Unavailable


class ShopUnreachable(Unavailable):
    """A call to a shop failed; ``word`` says why, for the log of deliveries.

    ``status`` is the HTTP status where there was one, ``excerpt`` what the shop said of it,
    ``retry_after_seconds`` how long it asks to be left alone.
    """

    def __init__(
        self,
        word: str,
        *,
        status: int | None = None,
        excerpt: bytes = b"",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"The shop could not be asked ({word}); see gateway shopify status.")
        self.word = word
        self.status = status
        self.excerpt = excerpt
        self.retry_after_seconds = retry_after_seconds


class Unreadable(ValueError):
    """A webhook's body is not what its topic says; the text says why, without any value."""
