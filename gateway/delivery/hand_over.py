"""Born claimed: a delivery that this process sends at once is stored with its lease already taken.

After the commit it goes to its lane from memory: no claim, no event to be read and unsealed again.
What can't go at once (in order, paced, behind a breaker, a lane with no room) is stored as due,
and claimed like any other.

A commit that was answered with an error may have stored leases that no lane holds:
:meth:`HandOver.lost_leases` names them, and the engine releases them.
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

    ``lease_seconds`` is how long the lease holds, ``read_at`` when the destination was read
    (monotonic seconds); ``more`` says that further deliveries may be due.
    """

    destination: Destination
    settings: Any
    sink: Sink
    deliveries: Sequence[ClaimedDelivery]
    lease_seconds: float
    more: bool
    read_at: float


class Sender(Protocol):
    """What sends in this process: the embedded engine."""

    def room(self, destination_id: str, max_in_flight: int) -> int:
        """Return how many deliveries would be sent at once. Called from any thread."""
        ...

    def hand_over(self, claimed: ClaimedBatch) -> None:
        """Send what was claimed while it was stored."""
        ...


class HandOver:
    """Chooses what is born claimed, and hands it to the engine after the commit."""

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
        # A lease that was not handed over so long after it was made was lost with its commit.
        self.lost_after_seconds = 10.0
        self._open: dict[str, tuple[float, frozenset[str]]] = {}
        self.sender: Sender | None = None

    def choose(
        self, new: Sequence[NewDelivery], known: Mapping[str, Subscription], now: datetime
    ) -> Claim:
        """Choose among ``new`` those that go out at once; ``known`` are their destinations."""
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
        """Return ``deliveries`` by destination, as the engine takes them.

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
                continue  # a claim says so, once the lease has ended
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
        """Hand over what is committed; returns the destinations that nothing sends to any more."""
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

        A commit may still be under way, so each is returned again until it is forgotten, or until
        it has run out.
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
