"""Claims: lease what is due for the lanes that ask, with everything that an attempt needs.

On SQLite a claim shares the transaction of the outcomes that are stored with it
(:meth:`Claims.one_by_one`). On PostgreSQL, where each statement is a round trip, one statement
claims for all lanes that ask, beside the outcomes and not after them (:meth:`Claims.submit`).
Probes have transactions of their own, so that healthy endpoints don't wait for broken ones.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.delivery.hand_over import ClaimedBatch
from gateway.errors import SealError, StorageError
from gateway.model.delivery import ClaimedDelivery, Destination
from gateway.sdk.records import Sink
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.stores import destinations as destination_store
from gateway.storage.stores.claimed_rows import Taken, claim_for_several
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.outbox import Outbox, bury_unreadable
from gateway.storage.transaction import Transaction

# So many deliveries are claimed by one statement, or for one lane that asks for more: their rows
# are in memory at the same time, and are read without a pause of the event loop.
_MOST_TOGETHER: Final = 4096
# One a lane.
_MAX_WAITING: Final = 1_000_000


class Claim(NamedTuple):
    """A lane's request for up to ``limit`` due deliveries; with 0 it only reads its destination."""

    destination_id: str
    limit: int


Claimed: TypeAlias = ClaimedBatch | StorageError | None
"""The answer to a claim: ``None`` when the destination takes no deliveries now."""


class Claims:
    """Claims for lanes. ``lease_seconds`` is how long a claim lasts."""

    def __init__(
        self,
        database: Database,
        destinations: DestinationStore,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        lease_seconds: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._outbox = outbox
        self._sinks = sinks
        self._lease_seconds = lease_seconds
        self._clock = clock
        # Nothing is claimed for a destination whose settings couldn't be read, until they can.
        self._unreadable: set[str] = set()
        self._claims: Batcher[Claim, ClaimedBatch | None] = Batcher(
            self._together,
            max_weight=_MOST_TOGETHER,
            weigh=lambda asked: max(asked.limit, 1),
            max_waiting=_MAX_WAITING,
        )
        self._probes: Batcher[Claim, ClaimedBatch | None] = Batcher(
            self._probed, max_waiting=_MAX_WAITING
        )

    async def submit(self, asked: Claim) -> ClaimedBatch | None:
        """Claim beside other lanes (PostgreSQL); returns after the commit."""
        claimed = await self._claims.submit(asked)
        if claimed is None or not asked.limit or claimed.destination.breaker.opened_at is None:
            return claimed
        return await self._probes.submit(asked)

    async def one_by_one(
        self, connection: AsyncConnection, asked: Sequence[Claim], now: datetime
    ) -> Sequence[Claimed]:
        """Claim inside a transaction; with its breaker half open a destination gets one: the probe.

        A destination takes deliveries if it is active and not held back.
        """
        read_at = self._clock.monotonic_seconds()
        wanted = {each.destination_id for each in asked}
        open_now = await self._destinations.for_dispatch(connection, wanted, now) if wanted else {}
        return [
            await self._claim(
                connection, each.limit, open_now.get(each.destination_id), now, read_at
            )
            for each in asked
        ]

    async def _together(self, asked: Sequence[Claim]) -> Sequence[ClaimedBatch | Exception | None]:
        """Claim for all of ``asked`` in one statement; none where the breaker is open."""
        now = self._clock.now()
        most = {
            each.destination_id: 0 if each.destination_id in self._unreadable else each.limit
            for each in asked
        }

        async def take(transaction: Transaction) -> dict[str, Taken]:
            lease = self._outbox.lease_from(now, self._lease_seconds)
            return await claim_for_several(transaction, most, self._sinks, lease)

        read_at = self._clock.monotonic_seconds()
        found = await self._database.transact(take)
        answers: list[ClaimedBatch | Exception | None] = []
        for each in asked:
            # A destination that is asked for twice is claimed for once.
            taken = found.pop(each.destination_id, None)
            if taken is None:
                answers.append(None)
                continue
            try:
                limit = most[each.destination_id]
                answers.append(await self._taken(taken, limit, now, read_at))
            except Exception as error:  # noqa: BLE001 - the answer to this claim alone
                answers.append(error)
        return answers

    async def _probed(self, asked: Sequence[Claim]) -> Sequence[Claimed]:
        """Claim a probe for each of ``asked``, in an order in which no two processes deadlock."""
        places = sorted(range(len(asked)), key=lambda place: asked[place].destination_id)

        async def take(transaction: Transaction) -> Sequence[Claimed]:
            in_order = [asked[place] for place in places]
            return await self.one_by_one(transaction, in_order, self._clock.now())

        found = dict(zip(places, await self._database.transact(take), strict=True))
        return [found[place] for place in range(len(asked))]

    async def _taken(
        self, taken: Taken, limit: int, now: datetime, read_at: float
    ) -> ClaimedBatch | None:
        """Return the committed claim; deliveries that can't be sent are released or exhausted."""
        destination_id = taken.destination[0]
        try:
            destination = self._destinations.of(taken.destination)
            sink, settings = self._sink_of(destination)
            claimed, unreadable = self._outbox.read(taken)
        except StorageError:
            self._unreadable.add(destination_id)
            if taken.rows:
                async with self._database.begin() as connection:
                    await self._outbox.give_back(connection, taken, now)
            raise
        self._unreadable.discard(destination_id)
        if sink is None:
            return None
        if unreadable:
            async with self._database.begin() as connection:
                await bury_unreadable(connection, destination_id, unreadable, to_epoch_ms(now))
        more = len(taken.rows) == limit and destination.breaker.opened_at is None
        return ClaimedBatch(
            destination, settings, sink, claimed, self._lease_seconds, more, read_at
        )

    def _sink_of(self, destination: Destination) -> tuple[Sink | None, Any]:
        """Return a destination's sink, if a plugin brings it, and its settings for it."""
        sink = self._sinks.get(destination.sink)
        try:
            return sink, None if sink is None else msgspec.convert(
                destination.settings, sink.settings
            )
        except msgspec.ValidationError:
            fault = (
                f"The stored settings of {destination.id} no longer fit its sink: remove it "
                "and add it again."
            )
            raise StorageError(fault) from None

    async def _claim(
        self,
        connection: AsyncConnection,
        limit: int,
        destination: Destination | SealError | None,
        now: datetime,
        read_at: float,
    ) -> Claimed:
        if destination is None or isinstance(destination, SealError):
            return destination
        try:
            sink, settings = self._sink_of(destination)
        except StorageError as error:
            return error
        if sink is None:
            return None
        probing = destination.breaker.opened_at is not None
        limit = min(limit, 1) if probing else limit
        claimed: Sequence[ClaimedDelivery] = ()
        if limit > 0:
            claimed = await self._outbox.claim(
                connection, destination.id, limit=limit, now=now, lease_seconds=self._lease_seconds
            )
        if probing and claimed:
            # No second probe until this one's lease ends, or it is released.
            until = now + timedelta(seconds=self._lease_seconds)
            lease = claimed[0].lease
            await destination_store.hold(connection, destination.id, until, probe_lease=lease)
        more = len(claimed) == limit and not probing
        return ClaimedBatch(
            destination, settings, sink, claimed, self._lease_seconds, more, read_at
        )
