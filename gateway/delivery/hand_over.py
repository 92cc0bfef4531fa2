"""Store a delivery that this process sends at once already leased, and send it from memory.

After the commit it goes to its lane from memory, without a claim and without reading and unsealing
its event again. A delivery that can't go at once (the destination is ordered, paced or behind an
open breaker, or its lane is full) is stored as due and claimed like any other.

A commit that ended with an error may have stored leases that no lane holds:
:meth:`HandOver.lost_leases` returns them, and the engine releases them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.clock import Clock, to_epoch_ms
from gateway.errors import SealError
from gateway.model.delivery import ClaimedDelivery, Destination
from gateway.sdk.records import Sink
from gateway.storage.stores.destinations import DestinationStore, Subscription
from gateway.storage.stores.outbox import NO_CLAIM, Claim, NewDelivery, Outbox


class ClaimedBatch(NamedTuple):
    """Deliveries leased for one destination, with everything an attempt needs.

    ``lease_seconds`` is the length of the lease, ``read_at`` when the destination was read
    (monotonic seconds); ``more`` is true when further deliveries may be due.
    """

    destination: Destination
    settings: Any
    sink: Sink
    deliveries: Sequence[ClaimedDelivery]
    lease_seconds: float
    more: bool
    read_at: float


class Sender(Protocol):
    """The sender of this process: the embedded engine."""

    def room(self, destination_id: str, max_in_flight: int) -> int:
        """Return how many more deliveries the lane would send at once. Any thread may call it."""
        ...

    def hand_over(self, claimed: ClaimedBatch) -> None:
        """Send deliveries that were stored already leased."""
        ...


class HandOver:
    """Chooses the deliveries to store already leased, and hands them to the engine."""

    def __init__(
        self,
        destinations: DestinationStore,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        lease_seconds: float,
        clock: Clock,
    ) -> None:
        self._destinations = destinations
        self._outbox = outbox
        self.sinks = sinks
        self._lease_seconds = lease_seconds
        self._clock = clock
        # A lease that was not handed over within this time was lost with its commit.
        self.lost_after_seconds = 10.0
        self._open: dict[str, tuple[float, frozenset[str]]] = {}
        self.sender: Sender | None = None

    def choose(
        self, new: Sequence[NewDelivery], known: Mapping[str, Subscription], now: datetime
    ) -> Claim:
        """Choose those of ``new`` that are sent at once; ``known`` are their destinations."""
        sender = self.sender
        if sender is None:
            return NO_CLAIM
        room: dict[str, int] = {}
        places = []
        for place, each in enumerate(new):
            key = each.destination_id
            if key not in room:
                goes = self._goes_at_once(known[key], now)
                room[key] = sender.room(key, known[key].row.max_in_flight) if goes else 0
            if room[key] > 0:
                room[key] -= 1
                places.append(place)
        if not places:
            return NO_CLAIM
        lease = self._outbox.new_lease()
        to = frozenset(new[place].destination_id for place in places)
        self._open[lease] = (self._clock.monotonic_seconds(), to)
        until_ms = to_epoch_ms(now + timedelta(seconds=self._lease_seconds))
        return Claim(lease, until_ms, frozenset(places))

    def _goes_at_once(self, to: Subscription, now: datetime) -> bool:
        row = to.row
        return (
            row.state == "active"
            and not row.ordered
            and row.max_per_second is None
            and row.opened_at_ms is None
            and (row.held_until_ms is None or row.held_until_ms <= to_epoch_ms(now))
            and row.sink in self.sinks
        )

    def claimed(
        self,
        deliveries: Sequence[ClaimedDelivery],
        known: Mapping[str, Subscription],
        read_at: float,
    ) -> Sequence[ClaimedBatch]:
        """Return ``deliveries`` as batches by destination.

        ``read_at`` is when their destinations were read.
        """
        by_destination: dict[str, list[ClaimedDelivery]] = {}
        for each in deliveries:
            by_destination.setdefault(each.destination_id, []).append(each)
        batches = []
        for key, own in by_destination.items():
            try:
                destination = self._destinations.read(known[key].row)
                sink = self.sinks[destination.sink]
                settings = msgspec.convert(destination.settings, sink.settings)
            except (SealError, msgspec.ValidationError):
                continue  # a claim finds them after the lease has ended
            batches.append(
                ClaimedBatch(
                    destination,
                    settings,
                    sink,
                    own,
                    self._lease_seconds,
                    more=False,
                    read_at=read_at,
                )
            )
        return batches

    def announce(self, batches: Sequence[ClaimedBatch]) -> Sequence[str]:
        """Hand over committed deliveries; returns the destinations without a running engine."""
        left = []
        for each in batches:
            self._open.pop(each.deliveries[0].lease, None)
            if self.sender is None:
                left.append(each.destination.id)
            else:
                self.sender.hand_over(each)
        return left

    def lost_leases(self) -> Mapping[str, frozenset[str]]:
        """Return the leases that were never handed over, with their destinations.

        A commit may still be running, so each lease is returned again until it is forgotten or
        expires.
        """
        now = self._clock.monotonic_seconds()
        lost = {
            key: to
            for key, (at, to) in list(self._open.items())
            if at < now - self.lost_after_seconds
        }
        for key in lost:
            if self._open[key][0] < now - self.lost_after_seconds - self._lease_seconds:
                self.forget([key])
        return lost

    def forget(self, leases: Iterable[str]) -> None:
        """Forget leases that were ended."""
        for key in leases:
            self._open.pop(key, None)
