"""Record events and fan them out to destinations, inside the caller's transaction.

After the commit, :meth:`Publisher.announce` wakes the engine and notifies the plugins.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.delivery.hand_over import HandOver
from gateway.hooks import Hooks
from gateway.model.delivery import ClaimedDelivery, Destination, RoutedDestination
from gateway.model.event import (
    LATE,
    NO_DESTINATION,
    NO_MATCH,
    Event,
    EventDraft,
    Published,
    matches,
)
from gateway.observability.metrics import Metrics
from gateway.sdk.records import Sink
from gateway.storage.database import Database
from gateway.storage.stores.changes import event_changes, note_changes
from gateway.storage.stores.destinations import DestinationStore, Subscription
from gateway.storage.stores.events import EventStore, as_recorded
from gateway.storage.stores.outbox import NewDelivery, Outbox
from gateway.storage.transaction import Transaction


class Subscribed(NamedTuple):
    """Subscriptions, those of disabled destinations too, read ``read_at`` (monotonic seconds)."""

    read_at: float
    subscriptions: Sequence[Subscription]


Wake = Callable[[Collection[str]], None]
"""Wakes the engine for destinations with due deliveries. Never waits, never fails."""


class Publisher:
    """Writes events, with a delivery for each subscribed destination."""

    def __init__(  # noqa: PLR0913 - the parts it writes to and notifies
        self,
        database: Database,
        clock: Clock,
        events: EventStore,
        destinations: DestinationStore,
        outbox: Outbox,
        hooks: Hooks,
        wake: Wake,
        *,
        hand_over: HandOver,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._events = events
        self._destinations = destinations
        self._outbox = outbox
        self._hooks = hooks
        self._wake = wake
        self._hand_over = hand_over
        self._metrics = metrics or Metrics()

    async def record(
        self,
        connection: AsyncConnection,
        drafts: Sequence[EventDraft],
        now: datetime,
        subscribed: Subscribed | None = None,
    ) -> Published:
        """Write ``drafts`` and their deliveries in the transaction of ``connection``.

        ``subscribed`` are the subscriptions of their accounts, if it has read them already.
        A late event is recorded for the timeline and not sent, because a later one already was. An
        event without a destination is recorded with the reason.
        """
        made = as_recorded(drafts, now)
        read_at = self._clock.monotonic_seconds() if subscribed is None else subscribed.read_at
        known, wanted, not_sent = await self._routed(connection, made, drafts, subscribed)
        recorded = [
            replace(event, not_sent=not_sent[event.id]) if event.id in not_sent else event
            for event in made
        ]
        await self._events.write(connection, recorded, drafts)
        await note_changes(connection, event_changes(recorded), now)
        current = [event for event in recorded if wanted.get(event.id)]
        if not current:
            return Published(recorded, (), frozenset())
        deliveries = [
            NewDelivery(
                account_id=event.account_id,
                destination_id=destination_id,
                event_id=event.id,
                event_type=event.type,
                subject=event.subject,
                in_order=known[destination_id].ordered,
            )
            for event in current
            for destination_id in wanted[event.id]
        ]
        claim = self._hand_over.choose(deliveries, known, now)
        ids = await self._outbox.queue(connection, deliveries, now, claim)
        free = (each for place, each in enumerate(deliveries) if place not in claim.places)
        by_id = {event.id: event for event in current}
        claimed = [
            ClaimedDelivery(
                id=ids[place],
                account_id=deliveries[place].account_id,
                destination_id=deliveries[place].destination_id,
                event=self._events.as_read(by_id[deliveries[place].event_id]),
                attempt=1,
                retry_index=0,
                lease=claim.lease,
                created_at=now,
                first_attempt_at=now,
            )
            for place in sorted(claim.places)
        ]
        return Published(
            recorded,
            ids,
            frozenset(each.destination_id for each in free),
            self._hand_over.claimed(claimed, known, read_at),
        )

    async def _routed(
        self,
        connection: AsyncConnection,
        made: Sequence[Event],
        drafts: Sequence[EventDraft],
        subscribed: Subscribed | None,
    ) -> tuple[Mapping[str, Subscription], Mapping[str, Collection[str]], Mapping[str, str]]:
        """Return the subscriptions by id, each event's destinations, and the reason for none."""
        not_sent = {event.id: LATE for event in made if event.late}
        current = [
            (event, draft) for event, draft in zip(made, drafts, strict=True) if not event.late
        ]
        if not current:
            return {}, {}, not_sent
        if subscribed is None:
            accounts = {event.account_id for event, _ in current}
            found = await self._destinations.with_disabled(connection, accounts)
        else:
            found = subscribed.subscriptions
        seen = {subscription.id: subscription for subscription in found}
        known = {each.id: each for each in seen.values() if not each.is_disabled}
        owners = {subscription.account_id for subscription in known.values()}
        matched = _matched(current, known.values()) if known else {}
        for event, _ in current:
            if not matched.get(event.id):
                has_some = event.account_id in owners
                not_sent[event.id] = NO_MATCH if has_some else NO_DESTINATION
        if not known:
            return known, {}, not_sent
        emptied: dict[str, str] = {}
        wanted = self._hooks.route_events(
            [event for event, _ in current],
            matched,
            RoutedDestinations(seen, self._destinations, self._hand_over.sinks),
            emptied,
        )
        not_sent |= {event_id: f"plugin:{plugin}" for event_id, plugin in emptied.items()}
        return known, wanted, not_sent

    async def publish(self, drafts: Sequence[EventDraft]) -> Published:
        """Record ``drafts`` in a transaction of their own, and announce them."""

        async def record(transaction: Transaction) -> Published:
            return await self.record(transaction, drafts, self._clock.now())

        published = await self._database.transact(record)
        self.announce(published)
        return published

    def announce(self, published: Published) -> None:
        """Wake the engine and notify the plugins; call it after the commit, never before."""
        if published.claimed:
            self._hand_over.announce(published.claimed)
        if published.destination_ids:
            self._wake(published.destination_ids)
        if published.events:
            self._metrics.events_recorded(event.type for event in published.events)
            self._hooks.events_recorded(published.events)


def _matched(
    events: Iterable[tuple[Event, EventDraft]], subscriptions: Collection[Subscription]
) -> Mapping[str, Collection[str]]:
    """Match account, mode, site and pattern; equal events are matched once."""
    found: dict[tuple[str, ...], list[str]] = {}
    wanted: dict[str, Collection[str]] = {}
    for event, draft in events:
        kind = (event.account_id, event.mode, event.site or "", event.type)
        if draft.only_destination is not None:
            wanted[event.id] = [
                each.id
                for each in subscriptions
                if each.id == draft.only_destination and each.account_id == event.account_id
            ]
            continue
        if kind not in found:
            found[kind] = [each.id for each in subscriptions if _wants(each, event)]
        wanted[event.id] = found[kind]
        if event.subject in found[kind]:
            # An event about an endpoint goes to the other endpoints.
            wanted[event.id] = [each for each in found[kind] if each != event.subject]
    return wanted


def _wants(subscription: Subscription, event: Event) -> bool:
    return (
        subscription.account_id == event.account_id
        and subscription.mode == event.mode
        and (subscription.site is None or subscription.site == event.site)
        and matches(subscription.events, event.type)
    )


class RoutedDestinations(Mapping[str, RoutedDestination]):
    """The destinations of ``known`` by id.

    For most batches no plugin looks at a destination, and reading one may unseal its settings: so
    each is read on first access.
    """

    def __init__(
        self,
        known: Mapping[str, Subscription],
        store: DestinationStore,
        sinks: Mapping[str, Sink],
    ) -> None:
        self._known = known
        self._store = store
        self._sinks = sinks

    def __getitem__(self, destination_id: str) -> RoutedDestination:
        """Return a destination; raises ``SealError`` when its settings can't be read."""
        return routed(self._store.read(self._known[destination_id].row), self._sinks)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids."""
        return iter(self._known)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)


def routed(destination: Destination, sinks: Mapping[str, Sink]) -> RoutedDestination:
    """Return a destination as plugins see it: only the public ones of its settings."""
    sink = sinks.get(destination.sink)
    public = () if sink is None else sink.public
    return RoutedDestination(
        id=destination.id,
        name=destination.name,
        sink=destination.sink,
        site=destination.site,
        account_id=destination.account_id,
        mode=destination.mode,
        events=destination.events,
        state=destination.state,
        settings={
            name: destination.settings[name] for name in public if name in destination.settings
        },
    )
