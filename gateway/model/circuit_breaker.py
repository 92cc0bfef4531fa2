"""How a destination is: how long it has been failing, and whether it is being called at all."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

BreakerState = Literal["closed", "open"]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a destination is being called at all, and since when it isn't.

    ``failures`` counts those in a row, ``openings`` how often in a row the breaker opened,
    the last time at ``opened_at``. Nothing is sent before ``held_until``: because the breaker
    is open, or because the other side asked for a pause. ``warned_at`` is when its account
    was told that it has been failing for long.
    """

    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    held_until: datetime | None = None
    warned_at: datetime | None = None

    @property
    def state(self) -> BreakerState:
        """``closed``: all is sent. ``open``: one try at ``held_until``, and what comes of it."""
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
