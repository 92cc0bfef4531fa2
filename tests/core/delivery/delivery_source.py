"""What a lane talks to, in memory: a source that hands deliveries out, and sinks.

Nothing here knows pytest.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from waiting import PATIENCE_SECONDS

from gateway.clock import Clock, SystemClock
from gateway.delivery.lane import ClaimedBatch, Lane, Settlement
from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.model.event import Event
from gateway.sdk.records import Batch, Sink

NOW = datetime(2026, 1, 1, tzinfo=UTC)

Deliver = Callable[[Batch], Awaitable[Any]]


def destination(**changes: Any) -> Destination:
    made = Destination(
        id="dst_1",
        account_id="default",
        mode="live",
        sink="fake",
        name="Board",
        events=("*",),
        settings={},
        created_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def claimed(number: int, subject: str = "pkg_1") -> ClaimedDelivery:
    event = Event(
        id=f"evt_{number}",
        type="package.ready",
        account_id="default",
        mode="live",
        subject=subject,
        data={},
        occurred_at=NOW,
        recorded_at=NOW,
        actor="test",
    )
    return ClaimedDelivery(
        id=f"dlv_{number}",
        account_id="default",
        destination_id="dst_1",
        event=event,
        attempt=1,
        retry_index=0,
        lease="lease",
        created_at=NOW,
        first_attempt_at=NOW,
    )


def outcome(delivery: ClaimedDelivery, *, delivered: bool = True, **more: Any) -> Outcome:
    return Outcome(
        delivery_id=delivery.id,
        delivered=delivered,
        started_at=NOW,
        duration_ms=1,
        status=200 if delivered else 500,
        **more,
    )


async def at_once(batch: Batch) -> Sequence[Outcome]:
    """Deliver everything, without waiting for anything."""
    return [outcome(each) for each in batch.deliveries]


class Holding:
    """A sink that holds every delivery until it is let go, and counts what it holds."""

    def __init__(self) -> None:
        self.held: dict[str, asyncio.Event] = {}
        self.most = 0
        self.seen: list[str] = []
        self._arrived = asyncio.Event()

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        gates = {each.id: asyncio.Event() for each in batch.deliveries}
        self.held.update(gates)
        self.seen.extend(gates)
        self.most = max(self.most, len(self.held))
        self._arrived.set()
        for delivery_id, gate in gates.items():
            await gate.wait()
            del self.held[delivery_id]
        return await at_once(batch)

    def let_go(self, *delivery_ids: str) -> None:
        """Let these deliveries end; all that are held when none is named."""
        for delivery_id in delivery_ids or tuple(self.held):
            self.held[delivery_id].set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something true of what came in; a bounded time."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()


class FakeDeliverySource:
    """An outbox in memory. What was settled, released and claimed stands in its lists.

    ``claiming`` and ``storing`` are gates: while one is closed, claims or outcomes wait.
    ``answering`` is called between the read of a claim and its reply.
    """

    def __init__(self, deliver: Deliver = at_once, **changes: Any) -> None:
        max_batch = changes.pop("max_batch", 1)
        self.lease_seconds = changes.pop("lease_seconds", 60.0)
        self.destination = destination(**changes)
        self.sink = Sink("fake", msgspec.Struct, deliver, max_batch)
        self.due: deque[ClaimedDelivery] = deque()
        self.takes_deliveries = True
        self.answering: Callable[[], None] = lambda: None
        self.limits: list[int] = []
        self.clock: Clock = SystemClock()
        self.settled: dict[str, Outcome] = {}
        self.released: list[str] = []
        self.failing: Exception | None = None
        self.claiming = asyncio.Event()
        self.claiming.set()
        self.storing = asyncio.Event()
        self.storing.set()
        self._storing: set[asyncio.Task[None]] = set()

    def add(self, *numbers: int) -> None:
        self.due.extend(claimed(number, f"pkg_{number}") for number in numbers)

    def lane(
        self, clock: Clock | None = None, timeout_seconds: float = 15.0, **bounds: Any
    ) -> Lane:
        self.clock = clock or SystemClock()
        return Lane("dst_1", self, self.clock, timeout_seconds, **bounds)

    async def claim(self, destination_id: str, limit: int) -> ClaimedBatch | None:
        assert destination_id == "dst_1"
        self.limits.append(limit)
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing
        taken = [self.due.popleft() for _ in range(min(limit, len(self.due)))]
        takes_deliveries = self.takes_deliveries
        await self.claiming.wait()
        read_at = self.clock.monotonic_seconds()
        self.answering()
        if not takes_deliveries:
            self.due.extendleft(reversed(taken))
            return None
        more = len(taken) == limit
        return ClaimedBatch(
            self.destination,
            None,
            self.sink,
            taken,
            self.lease_seconds,
            more,
            read_at=read_at,
        )

    def settle(self, delivery: ClaimedDelivery, outcome: Outcome, *, urgent: bool) -> Settlement:
        assert urgent is self.destination.ordered

        def store() -> None:
            assert delivery.id not in self.settled, "the same delivery was tried twice"
            self.settled[delivery.id] = outcome

        return self._write(store)

    def release(self, delivery: ClaimedDelivery) -> Settlement:
        def release() -> None:
            self.released.append(delivery.id)
            self.due.append(delivery)

        return self._write(release)

    def _write(self, write: Callable[[], None]) -> Settlement:
        settlement: Settlement = asyncio.get_running_loop().create_future()

        async def store() -> None:
            await self.storing.wait()
            if self.failing is not None:
                settlement.set_exception(self.failing)
                return
            write()
            settlement.set_result(None)

        task = asyncio.create_task(store())
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
        return settlement


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; a bounded time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def carried(lane: Lane) -> None:
    """Run a lane to its end; a bounded time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await lane.run()
