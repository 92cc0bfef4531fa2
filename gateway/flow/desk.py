"""What passes between a lane and whoever keeps the deliveries: grants, outcomes, returns."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.records import Sink


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


class Desk(Protocol):
    """Where a lane takes deliveries from and hands outcomes in."""

    async def claim(self, destination_id: str, limit: int) -> Grant | None:
        """Take up to ``limit`` due deliveries; ``None`` when the destination takes none now."""
        ...

    def settle(self, delivery: ClaimedDelivery, outcome: Outcome) -> asyncio.Future[Any]:
        """Hand an outcome in; the future is done when it is stored, with a standing or none."""
        ...

    def release(self, delivery: ClaimedDelivery) -> asyncio.Future[Any]:
        """Give a delivery back untried."""
        ...
