"""What the tests of dispatch have in common: a scripted sink, and deliveries to look at.

Nothing here knows pytest.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from core.gateways import LIVE, Recorder, draft
from waiting import PATIENCE_SECONDS

from gateway.clock import Clock
from gateway.model.delivery import Attempt, Delivery, Outcome
from gateway.runtime import Gateway
from gateway.sdk.records import Batch


class Scripted(Recorder):
    """A sink whose every outcome is made by the test."""

    def __init__(self, clock: Clock, **changes: Any) -> None:
        super().__init__()
        self.clock = clock
        self.changes = changes

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        await super().deliver(batch)
        return [
            Outcome(
                **{
                    "delivery_id": each.id,
                    "delivered": False,
                    "started_at": self.clock.now(),
                    "duration_ms": 7,
                    "status": 500,
                    **self.changes,
                }
            )
            for each in batch.deliveries
        ]


async def publish(gateway: Gateway, *subjects: str, **changes: Any) -> list[str]:
    """Publish an event about each of ``subjects``; returns the ids of the deliveries."""
    drafts = [draft(gateway, subject=each, **changes) for each in subjects or ("pkg_1",)]
    return list((await gateway.publisher.publish(drafts)).delivery_ids)


async def carried(gateway: Gateway, destination_id: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gateway.dispatcher.lane(destination_id).run()


async def looked_up(gateway: Gateway, delivery_id: str) -> tuple[Delivery, Sequence[Attempt]]:
    """Return a delivery and its tries."""
    async with gateway.database.read() as connection:
        delivery = await gateway.delivery_log.get(connection, LIVE, delivery_id)
        return delivery, await gateway.delivery_log.attempts_of(connection, delivery)
