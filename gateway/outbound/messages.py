"""Outbound requests and their responses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import msgspec

from gateway.clock import aware
from gateway.version import __version__

USER_AGENT: Final = f"rx-gateway/{__version__}"
EXCERPT_BYTES: Final = 2048
"""How much of an answer is kept, unless more is asked for."""

Failure = Literal[
    "timeout",  # the deadline passed, whatever was going on
    "connect",  # the connection was refused or unreachable
    "dns",  # the host name has no address, or the look-up failed
    "tls",  # the certificate or the handshake is no good, or this machine trusts no authority
    "closed_early",  # the connection ended before the answer did
    "bad_answer",  # what came back is no HTTP, or its head is far too large
    "bad_request",  # a header of ours can't be sent
    "refused_address",  # not an address that may be dialled for this URL
    "stopped",  # the client was closed meanwhile
]
"""Why there is no answer; these words stand in the delivery log."""


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to another server.

    ``timeout_seconds`` is one deadline from looking the name up to the last byte.
    Of the answer's body at most ``keep_bytes`` are read; the rest is dropped with
    the connection. A host with several addresses is tried at another one with each
    ``attempt``, which counts from 1.
    """

    url: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] | Mapping[str, str] = ()
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    timeout_seconds: float = 15.0
    keep_bytes: int = EXCERPT_BYTES
    attempt: int = 1


class OutboundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended: either ``status`` is set, or ``error`` says why there is none.

    ``body`` is the start of the answer's body as it came over the wire, and ``cut`` says
    that there may be more of it; ``retry_after`` is that header's text, unread.
    """

    duration_ms: int
    status: int | None = None
    error: Failure | None = None
    body: bytes = b""
    cut: bool = False
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is one of the 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    def retry_after_seconds(self, now: datetime) -> float | None:
        """Return how long the other side asks to be left alone, if it does so in a known form."""
        return retry_after_seconds(self.retry_after, now)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After``: whole seconds or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a year of twenty digits
        return None
    # The old asctime form says no zone and means UTC.
    return max(0.0, (aware(moment) - now).total_seconds())
