"""A destination's health: its circuit breaker, and the start of its failures."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

BreakerState = Literal["closed", "open"]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """A destination's circuit breaker.

    ``failures`` counts those in a row, ``openings`` how often in a row the breaker opened, the last
    time at ``opened_at``. Nothing is sent before ``held_until``: because the breaker is open, or
    because the receiver asked for a pause. ``warned_at`` is when the account got a warning about a
    long failure.
    """

    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    held_until: datetime | None = None
    warned_at: datetime | None = None

    @property
    def state(self) -> BreakerState:
        """``closed``: deliveries are sent. ``open``: one probe at ``held_until`` decides."""
        return "closed" if self.opened_at is None else "open"

    def changed(self, **fields: Any) -> "Breaker":
        """Return the same with other ``fields``."""
        return msgspec.structs.replace(self, **fields)


CLOSED: Final = Breaker()


class EndpointHealth(NamedTuple):
    """A destination's health: ``failing_since`` is the first failure after the last success."""

    breaker: Breaker = CLOSED
    failing_since: datetime | None = None


HEALTHY: Final = EndpointHealth()
