"""Claim due deliveries → hand them to the sink → store the outcomes.

Claims and outcomes of all destinations go through one
:class:`~gateway.delivery.outcome_buffer.OutcomeBuffer`, so that one transaction stores the
outcomes of earlier attempts and claims the next deliveries. No transaction is open while a sink
waits for a receiver.
"""

import asyncio
import logging
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from gateway.clock import Clock, from_epoch_ms, isoformat, to_epoch_ms
from gateway.delivery.circuit_breaker import BreakerRules
from gateway.delivery.claim_latency import ClaimLatency
from gateway.delivery.claims import Claim, Claims
from gateway.delivery.clock_skew import ClockSkewMonitor
from gateway.delivery.endpoint_health import (
    NO_CHANGE,
    HealthTracker,
    HealthUpdate,
    LaneSignal,
    was_called,
)
from gateway.delivery.hand_over import ClaimedBatch, HandOver
from gateway.delivery.lane import Lane, Settlement
from gateway.delivery.outcome_buffer import OutcomeBuffer
from gateway.delivery.publisher import Publisher
from gateway.delivery.retry_schedule import RetrySchedule, next_attempt
from gateway.model.delivery import ClaimedDelivery, Outcome
from gateway.model.event import Published
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.outbound.failures import explanation
from gateway.sdk.records import Sink
from gateway.settings import DeliveryTable
from gateway.storage.database import Database, is_outage
from gateway.storage.liveness import Liveness
from gateway.storage.plugin_tables import DueColumn
from gateway.storage.stores.changes import delivery_changes, note_changes
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.outbox import Outbox, Settled
from gateway.storage.transaction import Statement, Transaction

_log = logging.getLogger(__name__)

_ANSWERS: Final = Statement("SELECT 1")
# A sink names its failures in one word; anything else may hold patient data and is not logged.
_ERROR_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

NextDue = Callable[[str, datetime], None]
"""Called with a destination id and the time when its next retry is due."""


@dataclass(frozen=True, slots=True)
class DispatchRules:
    """The rules of delivery: retry schedule, deadline of one attempt, circuit breaker.

    A lease outlives the slowest attempt by ``lease_margin_seconds``, so that its outcome is
    stored in time.
    """

    schedule: RetrySchedule
    timeout_seconds: float
    breaker: BreakerRules
    lease_margin_seconds: float

    @classmethod
    def of(cls, table: DeliveryTable) -> "DispatchRules":
        """Read the rules from ``[delivery]``."""
        return cls(
            RetrySchedule(
                table.retry_schedule_seconds, timedelta(seconds=table.give_up_after_seconds)
            ),
            table.timeout_seconds,
            BreakerRules(table.breaker_failures, table.breaker_pauses_seconds),
            table.lease_margin_seconds,
        )

    @property
    def lease_seconds(self) -> float:
        """The time after which an unfinished claim becomes due again."""
        return self.timeout_seconds + self.lease_margin_seconds


_Reply = ClaimedBatch | LaneSignal | None


class _Turn(NamedTuple):
    """The replies of one flush, and the actions after its commit."""

    replies: Sequence[_Reply | Exception]
    health: HealthUpdate
    published: Published | None

    def read_at_commit(self, now: float) -> "_Turn":
        """Return the same turn with destinations that are as fresh as the commit."""
        replies = [
            each._replace(read_at=now) if isinstance(each, ClaimedBatch) else each
            for each in self.replies
        ]
        return self._replace(replies=replies)


class Dispatcher:
    """Claims and settles deliveries for the lanes. One per process that runs an engine."""

    def __init__(  # noqa: PLR0913 - the parts it reads, writes and notifies
        self,
        database: Database,
        destinations: DestinationStore,
        outbox: Outbox,
        publisher: Publisher,
        sinks: Mapping[str, Sink],
        rules: DispatchRules,
        clock: Clock,
        *,
        hand_over: HandOver | None = None,
        waits: Sequence[DueColumn] = (),
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._outbox = outbox
        self._publisher = publisher
        self._sinks = sinks
        self._rules = rules
        self._clock = clock
        self._metrics = metrics or Metrics()
        self.clock_skew = ClockSkewMonitor(
            database, clock, lease_seconds=rules.lease_seconds, waits=waits
        )
        self.hand_over = hand_over or HandOver(
            destinations, outbox, sinks, rules.lease_seconds, clock
        )
        self.claim_latency = ClaimLatency(clock)
        self._liveness = Liveness(database, rules.lease_seconds)
        self._running_since = clock.now()
        self.tracing: Tracing | None = None
        self.on_next_due: NextDue = lambda _destination_id, _due_at: None
        self._health = HealthTracker(destinations, rules.breaker)
        self._turns: OutcomeBuffer[Claim | Settled | ClaimedDelivery, _Reply] = OutcomeBuffer(
            self._turn,
            is_outcome=lambda item: not isinstance(item, Claim),
            is_calm=lambda item: isinstance(item, Settled) and item.outcome.delivered,
            observe=self._metrics.batches("ledger"),
        )
        self._claims = Claims(database, destinations, outbox, sinks, rules.lease_seconds, clock)
        if database.dialect == "sqlite":
            database.commit_is_due = self._turns.ride

    def lane(self, destination_id: str, *, more_due: bool = True) -> Lane:
        """Open a lane for one destination; without ``more_due`` it makes no claim of its own."""
        return Lane(
            destination_id, self, self._clock, self._rules.timeout_seconds, more_due=more_due
        )

    async def destinations_with_work(self) -> Collection[str]:
        """Return the active destinations that have due deliveries."""
        if not await self._outbox.any_pending(self._database):
            return []

        async def find(transaction: Transaction) -> Collection[str]:
            return await self._outbox.destinations_with_work(transaction, self._clock.now())

        return await self._database.transact(find)

    async def release_lost(self) -> Collection[str]:
        """Release leases whose commit ended with an error; returns their destinations."""
        leases = self.hand_over.lost_leases()
        if not leases:
            return ()
        async with self._database.begin() as connection:
            ended = await self._outbox.end_leases(connection, leases, self._clock.now())
        self.hand_over.forget([key for key, to in leases.items() if to <= set(ended)])
        return ended

    async def stay_alive(self) -> None:
        """Show other processes that this one is alive; call it at the start and every second."""
        await self._liveness.hold()
        self._outbox.lease_prefix = self._liveness.lease_prefix

    @property
    def process(self) -> str:
        """The number of this process among those that deliver."""
        return self._liveness.number

    async def gone(self, processes: Collection[str]) -> Collection[str]:
        """Return those that have died; none where that can't be seen."""
        return await self._liveness.gone(processes)

    async def end_leases_of_the_dead(self) -> Collection[str]:
        """End the leases of processes that died; returns their destinations."""
        return await self._liveness.end_leases_of_the_dead(self._clock.now())

    async def signed_off(self) -> None:
        """Show other processes that this one has stopped delivering."""
        self._outbox.lease_prefix = ""
        await self._liveness.release()

    async def take_back(self) -> None:
        """End the leases of a killed process, where no other process can be running.

        A SQLite file is served by one process at a time, so a lease that exists at the start
        belongs to a dead process. On PostgreSQL leases expire.
        """
        if self._database.dialect == "sqlite":
            async with self._database.begin() as connection:
                await self._outbox.take_back(connection, self._clock.now())

    async def claim(self, destination_id: str, limit: int) -> ClaimedBatch | None:
        """Lease up to ``limit`` due deliveries; ``None`` when the destination takes none now."""
        asked = Claim(destination_id, limit)
        if self._database.dialect == "postgresql":
            reply: _Reply = await self._claims.submit(asked)
        else:
            reply = await self._turns.submit(asked)
        if not isinstance(reply, ClaimedBatch):
            return None
        self.claim_latency.observe(self._clock.monotonic_seconds() - reply.read_at)
        return reply

    async def change_settles(self) -> None:
        """Wait until no process starts an attempt with a destination's state before a commit."""
        round_trip = 0.0
        if self._database.dialect == "postgresql":
            began = self._clock.monotonic_seconds()
            try:
                await self._database.look(_ANSWERS)
            except Exception as error:
                if not is_outage(error):  # the change is committed: nothing is left to fail
                    raise
            round_trip = self._clock.monotonic_seconds() - began
        await asyncio.sleep(self.claim_latency.settles_seconds(round_trip))

    def settle(self, delivery: ClaimedDelivery, outcome: Outcome, *, urgent: bool) -> Settlement:
        """Store an outcome, and the change of the destination's health."""
        if outcome.delivered:
            return self._settlement(Settled(delivery, outcome, None), urgent=urgent)
        now = self._clock.now()
        due_at = next_attempt(
            self._rules.schedule,
            retry_index=delivery.retry_index,
            first_attempt_at=delivery.first_attempt_at,
            now=now,
            retry_after_seconds=outcome.retry_after_seconds,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards no secret
            running_since=self._running_since,
        )
        next_due_ms = None if due_at is None else to_epoch_ms(due_at)
        if due_at is not None:
            self.on_next_due(delivery.destination_id, due_at)
        noted_at = now, self._clock.monotonic_seconds()
        return self._settlement(Settled(delivery, outcome, next_due_ms, noted_at), urgent=urgent)

    def release(self, delivery: ClaimedDelivery) -> Settlement:
        """End the lease of a delivery that was not attempted; it is due again at once."""
        return self._settlement(delivery, urgent=True)

    def _settlement(self, item: Settled | ClaimedDelivery, *, urgent: bool) -> Settlement:
        return cast("Settlement", self._turns.submit(item, urgent=urgent))

    def keep_through_outages(self, *, keep: bool) -> None:
        """Keep outcomes in memory while the database is unavailable, or fail them at once."""
        self._turns.patient = keep

    async def drained(self) -> None:
        """Wait until all outcomes are stored."""
        await self._turns.drained()

    async def _turn(
        self, items: Sequence[Claim | Settled | ClaimedDelivery]
    ) -> Sequence[_Reply | Exception]:
        items = [
            item.by_present_clock(self._clock)
            if isinstance(item, Settled) and not item.outcome.delivered
            else item
            for item in items
        ]

        async def settle_and_claim(transaction: Transaction) -> _Turn:
            return await self._settled_and_claimed(transaction, items)

        turn = await self._database.transact(settle_and_claim)
        if self._database.dialect == "sqlite":
            # Its first statement is its only write.
            turn = turn.read_at_commit(self._clock.monotonic_seconds())
        if turn.published is not None:
            self._publisher.announce(turn.published)
        for destination_id, held_until in turn.health.held_until.items():
            self.on_next_due(destination_id, held_until)
        for item in items:
            if isinstance(item, Settled):
                self._report(item)
        return turn.replies

    async def _settled_and_claimed(
        self, transaction: Transaction, items: Sequence[Claim | Settled | ClaimedDelivery]
    ) -> "_Turn":
        """Store outcomes, then claim: settled deliveries make room for new claims."""
        now = self._clock.now()
        health = NO_CHANGE
        published: Published | None = None
        settled = [item for item in items if isinstance(item, Settled)]
        released = [item for item in items if isinstance(item, ClaimedDelivery)]
        if self._is_plain(items) and await self._outbox.settle_delivered(transaction, settled, now):
            return _Turn([None] * len(items), NO_CHANGE, None)
        if settled:
            await self._outbox.settle(transaction, settled, now)
            health = await self._health.apply(transaction, settled, now)
            await note_changes(
                transaction, [*delivery_changes(e.delivery for e in settled), *health.noted], now
            )
        if released:
            await self._outbox.release(transaction, released, now)
        if health.events:
            published = await self._publisher.record(transaction, health.events, now)
        asked = [item for item in items if isinstance(item, Claim)]
        claimed = iter(await self._claims.one_by_one(transaction, asked, now) if asked else ())
        replies = [
            next(claimed) if isinstance(item, Claim) else _signal(item, health) for item in items
        ]
        return _Turn(replies, health, published)

    def _is_plain(self, items: Sequence[Claim | Settled | ClaimedDelivery]) -> bool:
        """Return whether one statement can settle the whole turn: successes only, on PostgreSQL."""
        return self._database.dialect == "postgresql" and all(
            isinstance(item, Settled) and item.outcome.delivered and was_called(item.outcome)
            for item in items
        )

    def _report(self, settled: Settled) -> None:
        """Count a stored attempt; log a failed one."""
        delivery, outcome, next_due_ms, _ = settled
        seconds = outcome.duration_ms / 1000
        if outcome.delivered:
            self._metrics.attempted(delivery.destination_id, "delivered", seconds)
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("attempt delivered", extra=_facts(settled))
        elif next_due_ms is not None:
            self._metrics.attempted(delivery.destination_id, "failed", seconds)
            _log.warning("attempt failed", extra=_facts(settled))
        else:
            self._metrics.attempted(delivery.destination_id, "exhausted", seconds)
            _log.error("attempt failed; the delivery is exhausted", extra=_facts(settled))
        if self.tracing is not None:
            self.tracing.attempted(delivery.event.trace, outcome, _facts(settled))


def _signal(item: object, health: HealthUpdate) -> LaneSignal | None:
    if health.signals and isinstance(item, Settled):
        return health.signals.get(item.delivery.destination_id)
    return None


def _facts(settled: Settled) -> dict[str, Any]:
    """Return an attempt's fields for the log: ids, numbers and fixed words, no patient data."""
    delivery, outcome, next_due_ms, _ = settled
    error = outcome.error
    if error is not None and not _ERROR_WORD.fullmatch(error):
        error = "other"
    return {
        "destination_id": delivery.destination_id,
        "delivery_id": delivery.id,
        "event_id": delivery.event.id,
        "attempt": delivery.attempt,
        "status": outcome.status,
        "error": error,
        "reason": explanation(error),
        "duration_ms": outcome.duration_ms,
        "next_due": None if next_due_ms is None else isoformat(from_epoch_ms(next_due_ms)),
    }
