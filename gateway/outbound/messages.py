"""Requests to other servers, and their responses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import msgspec

from gateway.clock import aware
from gateway.outbound.failures import Failure
from gateway.version import __version__

USER_AGENT: Final = f"rx-gateway/{__version__}"
EXCERPT_BYTES: Final = 2048
"""The kept bytes of a response's body, unless the request asks for more."""
_MAX_RETRY_AFTER_SECONDS: Final = 86_400.0


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to another server.

    ``timeout_seconds`` is one deadline from the name's look-up to the last byte. The first
    ``keep_bytes`` of the response's body are kept; after a longer body the connection is closed.
    ``keep_headers`` names the response's headers to keep. Header names are sent as given.

    ``repeatable`` says that the receiver recognises a request that it gets twice, as GET, PUT
    and DELETE have it by themselves: a reused connection that ends before any answer byte is
    then replaced by a new one, and the request sent once more.

    ``unprivileged`` says that a caller chose the URL who may not look into the operator's
    networks: of an answer from ``allow_networks`` only the status is kept, and whatever went
    wrong there is ``unreachable``.
    """

    url: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] | Mapping[str, str] = ()
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    timeout_seconds: float = 15.0
    keep_bytes: int = EXCERPT_BYTES
    keep_headers: Sequence[str] = ()
    repeatable: bool = False
    unprivileged: bool = False


class OutboundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request: a ``status``, or an ``error``, the reason for none.

    With a status, ``error`` names a fault of the body behind it (``body_cut`` …). ``body`` is the
    start of the body as it came over the wire; ``cut`` says that there may be more of it.
    ``retry_after`` and ``location`` are the unparsed text of these headers; ``headers`` has those
    that the request asked to keep and the response has, by lower-case name. Repeated headers are
    joined by commas.
    """

    duration_ms: int
    status: int | None = None
    error: Failure | None = None
    body: bytes = b""
    cut: bool = False
    retry_after: str | None = None
    location: str | None = None
    headers: Mapping[str, str] = {}

    @property
    def is_success(self) -> bool:
        """Whether the status is one of the 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    def retry_after_seconds(self, now: datetime) -> float | None:
        """Return the wait that the receiver asks for, at most a day; None without one."""
        return retry_after_seconds(self.retry_after, now)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Read ``Retry-After``: whole seconds or a date (RFC 9110, section 10.2.3); at most a day."""
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal() and text.isascii():
        return min(float(text[:9]), _MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a year of twenty digits
        return None
    # The old asctime form has no zone and means UTC.
    wait = (aware(moment) - now).total_seconds()
    return min(max(0.0, wait), _MAX_RETRY_AFTER_SECONDS)
