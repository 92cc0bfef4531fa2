"""Turn another server's response into the outcome of an attempt, for any sink."""

from datetime import datetime, timedelta
from typing import Final

from gateway.model.delivery import Outcome
from gateway.outbound.messages import EXCERPT_BYTES, OutboundResponse

_GONE: Final = 410
# Too Many Requests (RFC 6585) and Service Unavailable (RFC 9110) concern the whole server.
_BUSY: Final = frozenset({429, 503})


def outcome_of(answer: OutboundResponse, delivery_id: str, started_at: datetime) -> Outcome:
    """Return a response as the outcome of an attempt that began at ``started_at``.

    A status of 2xx is delivered, 410 is ``gone``, and 429 and 503 are ``busy`` with the wait that
    their ``Retry-After`` asks for (RFC 9110). Where the other system uses one of them in another
    sense, change the outcome with ``msgspec.structs.replace``.
    """
    answered_at = started_at + timedelta(milliseconds=answer.duration_ms)
    return Outcome(
        delivery_id=delivery_id,
        delivered=answer.is_success,
        started_at=started_at,
        duration_ms=answer.duration_ms,
        status=answer.status,
        error=answer.error,
        excerpt=answer.body[:EXCERPT_BYTES],
        retry_after_seconds=answer.retry_after_seconds(answered_at),
        gone=answer.status == _GONE,
        busy=answer.status in _BUSY,
    )
