"""Recovery: send again the events that a destination missed. Durable, paced, with progress.

A recovery walks the account's events of a period and queues those that the destination
subscribes to and did not get: there is no delivery (it was disabled then), the delivery is
exhausted, or its next attempt is due later, which after a long outage may be in hours. Each
gets the full retry schedule. A recovery pauses while the destination has many due
deliveries, so that new events are not delayed behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, from_epoch_ms, to_epoch_ms
from gateway.delivery.publisher import RoutedDestinations, Wake
from gateway.errors import Conflict, InvalidInput
from gateway.hooks import Hooks
from gateway.model.change import Change
from gateway.model.delivery import Destination
from gateway.model.event import Event, matches
from gateway.model.ids import first_id, new_id
from gateway.model.recovery import Recovery, Rehearsal
from gateway.storage.database import Database
from gateway.storage.stores import recoveries
from gateway.storage.stores.changes import note_changes
from gateway.storage.stores.delivery_log import DeliveryLog
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.outbox import NewDelivery, Outbox

_EVENTS_AT_ONCE: Final = 500
# An id is made before its event is recorded, so the first ids may carry an earlier time.
_SLACK: Final = timedelta(minutes=10)
_MAX_DUE: Final = 1000


class RecoveryRunner:
    """Starts recoveries, and advances the unfinished ones step by step."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts it reads, writes and asks
        self,
        database: Database,
        events: EventStore,
        destinations: DestinationStore,
        outbox: Outbox,
        log: DeliveryLog,
        hooks: Hooks,
        clock: Clock,
        wake: Wake,
    ) -> None:
        self._database = database
        self._events = events
        self._destinations = destinations
        self._outbox = outbox
        self._log = log
        self._hooks = hooks
        self._clock = clock
        self._wake = wake

    async def start(
        self, destination: Destination, since: datetime, until: datetime | None
    ) -> Recovery:
        """Start a recovery of the events from ``since`` to ``until`` (now); returns at once.

        Raises ``Conflict`` while the destination is disabled, ``InvalidInput`` for an empty
        period.
        """
        now = self._clock.now()
        since, end = self._period(destination, since, until)
        recovery = Recovery(
            id=new_id("rcv", now),
            account_id=destination.account_id,
            destination_id=destination.id,
            since=since,
            until=end,
            cursor=_first_id(since),
            looked_at=0,
            queued=0,
            state="running",
            created_at=now,
            finished_at=None,
        )
        async with self._database.begin() as connection:
            await recoveries.add(connection, recovery)
        return recovery

    async def rehearse(
        self, destination: Destination, since: datetime, until: datetime | None, *, most: int
    ) -> Rehearsal:
        """Count the events that a recovery would send; starts none, reads ``most`` events at most.

        Raises as :meth:`start` does.
        """
        since, end = self._period(destination, since, until)
        cursor, looked_at, queued, is_whole = _first_id(since), 0, 0, False
        while not is_whole and looked_at < most:
            async with self._database.read() as connection:
                found = await self._events.between(
                    connection,
                    destination.account_id,
                    after_id=cursor,
                    until_ms=to_epoch_ms(end),
                    limit=_EVENTS_AT_ONCE,
                    locked=False,
                )
                meant = [event for event in found if event.recorded_at >= since]
                now = self._clock.now()
                again, never = await self._missed(connection, destination, meant, now)
            looked_at += len(meant)
            queued += len(again) + len(never)
            is_whole = len(found) < _EVENTS_AT_ONCE
            cursor = found[-1].id if found else cursor
        return Rehearsal(since, end, looked_at, queued, is_whole)

    def _period(
        self, destination: Destination, since: datetime, until: datetime | None
    ) -> tuple[datetime, datetime]:
        now = self._clock.now()
        end = min(until or now, now)
        # No event is older; and year 1 of an eastern time zone has no UTC equivalent.
        since = max(since, from_epoch_ms(0))
        if since >= end:
            raise InvalidInput("since must be before until, and in the past.")
        if destination.state == "disabled":
            raise Conflict("The endpoint is disabled; enable it, then recover what it missed.")
        return since, end

    async def get(self, account_id: str, recovery_id: str) -> Recovery | None:
        """Return a recovery with its progress."""
        async with self._database.read() as connection:
            return await recoveries.get(connection, account_id, recovery_id)

    async def step(self) -> None:
        """Advance each unfinished recovery by one batch of events."""
        if not await recoveries.any_running(self._database):
            return
        woken: set[str] = set()
        async with self._database.begin() as connection:
            for recovery in await recoveries.running(connection):
                destination = await self._destinations.for_recovery(
                    connection, recovery.destination_id
                )
                if destination is None:
                    done = msgspec.structs.replace(
                        recovery, state="done", finished_at=self._clock.now()
                    )
                    await recoveries.note(connection, done)
                elif await self._due(connection, destination.id) < _MAX_DUE:
                    await recoveries.note(
                        connection, await self._advance(connection, recovery, destination)
                    )
                    woken.add(destination.id)
        self._wake(woken)

    async def _due(self, connection: AsyncConnection, destination_id: str) -> int:
        """Count due deliveries, capped; later retries delay nothing."""
        now = self._clock.now()
        return await self._outbox.count_due(connection, destination_id, now, limit=_MAX_DUE)

    async def _advance(
        self, connection: AsyncConnection, recovery: Recovery, destination: Destination
    ) -> Recovery:
        now = self._clock.now()
        found = await self._events.between(
            connection,
            destination.account_id,
            after_id=recovery.cursor,
            until_ms=to_epoch_ms(recovery.until),
            limit=_EVENTS_AT_ONCE,
        )
        meant = [event for event in found if event.recorded_at >= recovery.since]
        again, never = await self._missed(connection, destination, meant, now)
        await self._outbox.resend_all(connection, destination.account_id, again, now)
        await self._outbox.queue(connection, never, now)
        finished = len(found) < _EVENTS_AT_ONCE
        site, count = destination.site, len(again) + len(never)
        key = (destination.account_id, destination.mode, site)
        sent_again = Change("deliveries", *key, [destination.id], count)
        await note_changes(connection, [sent_again], now)
        return msgspec.structs.replace(
            recovery,
            cursor=found[-1].id if found else recovery.cursor,
            looked_at=recovery.looked_at + len(meant),
            queued=recovery.queued + len(again) + len(never),
            state="done" if finished else "running",
            finished_at=now if finished else None,
        )

    async def _missed(
        self,
        connection: AsyncConnection,
        destination: Destination,
        meant: Sequence[Event],
        now: datetime,
    ) -> tuple[list[str], list[NewDelivery]]:
        """Return the deliveries to send again, and the events that never had one."""
        missed = [event for event in meant if _wanted(destination, event)]
        states = await self._log.states(connection, destination.id, [e.id for e in missed], now)
        again = [states[e.id][0] for e in missed if e.id in states and states[e.id][1]]
        unsent = [event for event in missed if event.id not in states]
        kept = await self._routed(connection, destination, unsent) if unsent else {}
        never = [
            NewDelivery(
                account_id=event.account_id,
                destination_id=destination.id,
                event_id=event.id,
                event_type=event.type,
                subject=event.subject,
                in_order=destination.ordered,
            )
            for event in unsent
            if kept[event.id]
        ]
        return again, never

    async def _routed(
        self, connection: AsyncConnection, destination: Destination, unsent: Sequence[Event]
    ) -> Mapping[str, Collection[str]]:
        """Return the events that no plugin routes away from the destination."""
        wanted = {event.id: (destination.id,) for event in unsent}
        account = {destination.account_id}
        seen = {
            each.id: each for each in await self._destinations.with_disabled(connection, account)
        }
        routed = RoutedDestinations(seen, self._destinations, self._hooks.sinks())
        return self._hooks.route_events(unsent, wanted, routed)


def _first_id(since: datetime) -> str:
    return first_id("evt", max(since - _SLACK, from_epoch_ms(0)))


def _wanted(destination: Destination, event: Event) -> bool:
    return (
        not event.late
        and not event.purged
        and event.mode == destination.mode
        and (destination.site is None or destination.site == event.site)
        and matches(destination.events, event.type)
        and event.subject != destination.id
    )
