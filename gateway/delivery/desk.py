"""What passes between a lane and whoever keeps the deliveries: grants, outcomes, returns."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.sdk.records import Sink


class Grant(NamedTuple):
    """Deliveries taken for one destination, with all that is needed to try them.

    ``more`` says that there may be further ones; ``lease_seconds`` how long they are ours.
    """

    destination: Destination
    settings: Any
    sink: Sink
    deliveries: Sequence[ClaimedDelivery]
    lease_seconds: float
    more: bool


Stored = Callable[[Any], None]
"""Told when something handed in is stored: a standing or ``None``, or the exception."""


class Desk(Protocol):
    """Where a lane takes deliveries from and hands outcomes in."""

    async def claim(self, destination_id: str, limit: int) -> Grant | None:
        """Take up to ``limit`` due deliveries; ``None`` when the destination takes none now."""
        ...

    def settle(
        self, delivery: ClaimedDelivery, outcome: Outcome, stored: Stored, *, at_once: bool
    ) -> None:
        """Hand an outcome in, to be stored ``at_once`` or together with others."""
        ...

    def release(self, delivery: ClaimedDelivery, stored: Stored) -> None:
        """Give a delivery back untried."""
        ...
