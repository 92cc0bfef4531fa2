"""Destinations in the database: subscriptions to events, with the sink's settings sealed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, insert, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import SealError
from gateway.model.account import Caller, Mode
from gateway.model.circuit_breaker import Breaker, EndpointHealth
from gateway.model.delivery import Destination
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.schema import deliveries, destinations
from gateway.storage.statements import OPEN_DESTINATION, SUBSCRIBED, WORKED
from gateway.storage.tenancy import visible_to
from gateway.storage.transaction import Row, fetch_each, row_type

_MAX_UNSEALED: Final = 4096


class Subscription(NamedTuple):
    """The part of a destination that fan-out needs: its tenant and its event patterns."""

    id: str
    account_id: str
    mode: Mode
    site: str | None
    events: tuple[str, ...]
    ordered: bool
    row: Any
    """The whole row, for :meth:`DestinationStore.read`."""

    @property
    def is_disabled(self) -> bool:
        """Whether it gets nothing now."""
        return bool(self.row.state == "disabled")


_ROW: Final = row_type(destinations)


def subscriptions_of(rows: Iterable[Row]) -> list[Subscription]:
    """Return the subscriptions that rows of ``SUBSCRIBED`` are."""
    return [
        Subscription(
            row.id,
            row.account_id,
            row.mode,
            row.site,
            tuple(row.events.split()),
            bool(row.ordered),
            row,
        )
        for row in map(_ROW, rows)
    ]


async def count_destinations(connection: AsyncConnection, account_id: str) -> int:
    """Count an account's live destinations, but removed ones."""
    query = select(func.count()).where(
        destinations.c.account_id == account_id,
        destinations.c.mode == "live",
        destinations.c.removed_at_ms.is_(None),
    )
    return int((await connection.execute(query)).scalar_one())


class DestinationStore:
    """Reads and writes destinations."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._unsealed: dict[str, tuple[bytes, Mapping[str, Any]]] = {}
        self._known: dict[str, tuple[Any, Destination]] = {}

    async def add(self, connection: AsyncConnection, destination: Destination) -> None:
        """Write a new destination."""
        await connection.execute(
            insert(destinations).values(
                id=destination.id,
                account_id=destination.account_id,
                mode=destination.mode,
                site=destination.site,
                sink=destination.sink,
                name=destination.name,
                events=" ".join(destination.events),
                state=destination.state,
                state_reason=destination.state_reason,
                settings=self._seal(destination.id, destination.settings),
                max_in_flight=destination.max_in_flight,
                max_per_second=destination.max_per_second,
                ordered=destination.ordered,
                created_at_ms=to_epoch_ms(destination.created_at),
            )
        )

    async def change(self, connection: AsyncConnection, destination: Destination) -> None:
        """Write the fields that an account may change: all but id, account, mode and history."""
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == destination.id)
            .values(
                site=destination.site,
                name=destination.name,
                events=" ".join(destination.events),
                state=destination.state,
                state_reason=destination.state_reason,
                settings=self._seal(destination.id, destination.settings),
                max_in_flight=destination.max_in_flight,
                max_per_second=destination.max_per_second,
                ordered=destination.ordered,
                disabled_at_ms=optional_ms(destination.disabled_at),
                **health_values(EndpointHealth(destination.breaker, destination.failing_since)),
            )
        )

    async def remove(self, connection: AsyncConnection, destination_id: str, at: datetime) -> None:
        """Remove a destination, and end its pending deliveries; its row stays for the log.

        Its secrets do not.
        """
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id)
            .values(
                removed_at_ms=to_epoch_ms(at),
                state="disabled",
                state_reason="removed",
                settings=self._seal(destination_id, {}),
            )
        )
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.destination_id == destination_id, deliveries.c.state == "pending")
            .values(state="exhausted", lease=None, finished_at_ms=to_epoch_ms(at))
        )

    async def get(
        self,
        connection: AsyncConnection,
        caller: Caller,
        destination_id: str,
        *,
        for_update: bool = False,
    ) -> Destination | None:
        """Return the destination, or ``None`` when there is none that ``caller`` may see.

        ``for_update`` locks the row until the transaction ends (PostgreSQL; on SQLite the
        transaction itself is the lock).
        """
        query = self._visible(caller).where(destinations.c.id == destination_id)
        if for_update:
            query = query.with_for_update()
        row = (await connection.execute(query)).first()
        return None if row is None else self.read(row)

    async def list(
        self, connection: AsyncConnection, caller: Caller, sink: str | None = None
    ) -> list[Destination]:
        """Return the destinations that ``caller`` may see, oldest first."""
        query = self._visible(caller).order_by(destinations.c.id)
        if sink is not None:
            query = query.where(destinations.c.sink == sink)
        return [self.read(row) for row in await connection.execute(query)]

    async def of_sink(
        self, connection: AsyncConnection, sink: str, *, after_id: str, limit: int
    ) -> Sequence[Destination]:
        """Return every account's destinations of a kind, in the order of their ids.

        For a sink's own upkeep; a page begins after ``after_id``.
        """
        rows = await connection.execute(
            select(destinations)
            .where(
                destinations.c.sink == sink,
                destinations.c.removed_at_ms.is_(None),
                destinations.c.id > after_id,
            )
            .order_by(destinations.c.id)
            .limit(limit)
        )
        return [self.read(row) for row in rows]

    async def for_dispatch(
        self, connection: AsyncConnection, destination_ids: Collection[str], now: datetime
    ) -> dict[str, Destination | SealError]:
        """Return those of ``destination_ids`` that take deliveries now, by id.

        One whose settings can't be unsealed is its error. With its breaker half open a
        destination takes one delivery: the probe.
        """
        rows = await fetch_each(
            connection, OPEN_DESTINATION, "id", sorted(destination_ids), now_ms=to_epoch_ms(now)
        )
        found: dict[str, Destination | SealError] = {}
        for row in map(_ROW, rows):
            try:
                found[row.id] = self.read(row)
            except SealError as error:
                found[row.id] = error
        return found

    async def for_recovery(
        self, connection: AsyncConnection, destination_id: str
    ) -> Destination | None:
        """Return the destination unless it is removed or disabled."""
        query = select(destinations).where(
            destinations.c.id == destination_id,
            destinations.c.state != "disabled",
            destinations.c.removed_at_ms.is_(None),
        )
        row = (await connection.execute(query)).first()
        return None if row is None else self.read(row)

    async def subscriptions(
        self, connection: AsyncConnection, account_ids: Collection[str]
    ) -> Sequence[Subscription]:
        """Return the subscriptions of ``account_ids``: all but the disabled and removed."""
        found = await self.with_disabled(connection, account_ids)
        return [each for each in found if not each.is_disabled]

    async def with_disabled(
        self, connection: AsyncConnection, account_ids: Collection[str]
    ) -> Sequence[Subscription]:
        """Return the subscriptions of ``account_ids``, those of disabled destinations too."""
        return subscriptions_of(
            await fetch_each(connection, SUBSCRIBED, "account_id", sorted(account_ids))
        )

    async def disable(
        self, connection: AsyncConnection, destination_id: str, reason: str, at: datetime
    ) -> Destination | None:
        """Disable a destination; returns it, or ``None`` when it was disabled already."""
        changed = await connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id, destinations.c.state != "disabled")
            .values(state="disabled", state_reason=reason, disabled_at_ms=to_epoch_ms(at))
            .returning(*destinations.c)
        )
        row = changed.first()
        return None if row is None else self.read(row)

    @staticmethod
    def _visible(caller: Caller) -> Any:
        return select(destinations).where(
            *visible_to(caller, destinations), destinations.c.removed_at_ms.is_(None)
        )

    def _seal(self, destination_id: str, settings: Mapping[str, Any]) -> bytes:
        encoded = msgspec.json.encode(settings)
        return self._sealer.seal(encoded, table="destinations", row_id=destination_id)

    def _settings(self, destination_id: str, sealed: bytes) -> Mapping[str, Any]:
        """Unseal settings, once for as long as they stay the same."""
        known = self._unsealed.get(destination_id)
        if known is not None and known[0] == sealed:
            return known[1]
        settings = self._sealer.unseal(sealed, table="destinations", row_id=destination_id)
        read: Mapping[str, Any] = msgspec.json.decode(settings)
        if len(self._unsealed) >= _MAX_UNSEALED:
            self._unsealed.clear()
        self._unsealed[destination_id] = (sealed, read)
        return read

    def of(self, values: Row) -> Destination:
        """Read the values of all columns, in their order; raises ``SealError`` as :meth:`read`."""
        return self.read(_ROW(values))

    def read(self, row: Any) -> Destination:
        """Read a row, once for as long as it stays the same: an order's is read twice.

        Raises ``SealError`` when its settings can't be unsealed.
        """
        known = self._known.get(row.id)
        if known is not None and known[0] == row:
            return known[1]
        read = Destination(
            id=row.id,
            account_id=row.account_id,
            mode=row.mode,
            site=row.site,
            sink=row.sink,
            name=row.name,
            events=tuple(row.events.split()),
            state=row.state,
            state_reason=row.state_reason,
            settings=self._settings(row.id, bytes(row.settings)),
            max_in_flight=row.max_in_flight,
            max_per_second=row.max_per_second,
            ordered=bool(row.ordered),
            created_at=from_epoch_ms(row.created_at_ms),
            last_success_at=optional_time(row.last_success_at_ms),
            failing_since=optional_time(row.failing_since_ms),
            disabled_at=optional_time(row.disabled_at_ms),
            breaker=health_of(row).breaker,
        )
        if len(self._known) >= _MAX_UNSEALED:
            self._known.clear()
        self._known[row.id] = (row, read)
        return read


class HealthRow(NamedTuple):
    """The columns of a destination's health, as the hot statements return them."""

    id: str
    failing_since_ms: int | None
    failures: int
    openings: int
    opened_at_ms: int | None
    held_until_ms: int | None
    warned_at_ms: int | None


HEALTH_COLUMNS: Final = (
    destinations.c.id,
    destinations.c.failing_since_ms,
    destinations.c.failures,
    destinations.c.openings,
    destinations.c.opened_at_ms,
    destinations.c.held_until_ms,
    destinations.c.warned_at_ms,
)
"""The columns that :func:`health_of` reads, with the id."""


def not_held(now: datetime) -> ColumnElement[bool]:
    """Match the destinations that are not held back at the moment."""
    held_until_ms = destinations.c.held_until_ms
    return or_(held_until_ms.is_(None), held_until_ms <= to_epoch_ms(now))


def health_of(row: Any) -> EndpointHealth:
    """Read a destination's health from its row."""
    breaker = Breaker(
        failures=row.failures,
        openings=row.openings,
        opened_at=optional_time(row.opened_at_ms),
        held_until=optional_time(row.held_until_ms),
        warned_at=optional_time(row.warned_at_ms),
    )
    return EndpointHealth(breaker, optional_time(row.failing_since_ms))


def health_values(condition: EndpointHealth) -> dict[str, Any]:
    """Return the columns of a destination's health."""
    breaker, failing_since = condition
    return {
        "failing_since_ms": optional_ms(failing_since),
        "failures": breaker.failures,
        "openings": breaker.openings,
        "opened_at_ms": optional_ms(breaker.opened_at),
        "held_until_ms": optional_ms(breaker.held_until),
        "warned_at_ms": optional_ms(breaker.warned_at),
    }


async def succeeded(
    connection: AsyncConnection, ids: Collection[str], at: datetime
) -> dict[str, EndpointHealth]:
    """Record a success for each of ``ids``; returns their health before it."""
    if not ids:
        return {}
    rows = await fetch_each(connection, WORKED, "id", sorted(ids), now_ms=to_epoch_ms(at))
    return {row.id: health_of(row) for row in map(HealthRow._make, rows)}


async def conditions(
    connection: AsyncConnection, ids: Collection[str]
) -> dict[str, EndpointHealth]:
    """Return the health of ``ids``, locked until the transaction ends."""
    if not ids:
        return {}
    rows = await connection.execute(
        select(*HEALTH_COLUMNS)
        .where(destinations.c.id.in_(sorted(ids)))
        .order_by(destinations.c.id)
        .with_for_update()
    )
    return {row.id: health_of(row) for row in rows}


async def write(connection: AsyncConnection, found: Mapping[str, EndpointHealth]) -> None:
    """Write the health of destinations after the outcomes of attempts."""
    if found:
        columns: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in health_values(EndpointHealth())
        }
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == bindparam("key"))
            .values(columns | {"probe_lease": null()}),  # the outcome of a probe is known
            [
                {
                    "key": destination_id,
                    **{f"new_{k}": v for k, v in health_values(condition).items()},
                }
                for destination_id, condition in sorted(found.items())
            ],
        )


async def sinks_without_plugin(
    connection: AsyncConnection, kinds: Collection[str]
) -> Sequence[str]:
    """Return a sentence for each sink with destinations that no enabled plugin brings.

    ``kinds`` are the sinks that there are. The deliveries of such destinations wait.
    """
    return [missing_sink(*each) for each in await unserved_sinks(connection, kinds)]


async def unserved_sinks(
    connection: AsyncConnection, kinds: Collection[str]
) -> Sequence[tuple[str, int]]:
    """Return the sinks that no enabled plugin brings, each with its number of destinations."""
    query = (
        select(destinations.c.sink, func.count())
        .where(
            destinations.c.removed_at_ms.is_(None),
            destinations.c.state != "disabled",
            destinations.c.sink.not_in(sorted(kinds)),
        )
        .group_by(destinations.c.sink)
        .order_by(destinations.c.sink)
    )
    return [(sink, count) for sink, count in await connection.execute(query)]


_REMEDY: Final = (
    "no enabled plugin brings the sink {sink}; enable it again, or disable or remove what "
    "gateway destinations list --sink {sink} shows"
)
MISSING_SINK: Final = f"1 destination gets nothing, and deliveries wait: {_REMEDY}"
"""The sentence about one destination, and about several."""
MISSING_SINKS: Final = f"{{count}} destinations get nothing, and deliveries wait: {_REMEDY}"


def missing_sink(sink: str, count: int) -> str:
    """Return the sentence about destinations of a sink that no enabled plugin brings."""
    return (MISSING_SINK if count == 1 else MISSING_SINKS).format(sink=sink, count=count)


class DestinationName(NamedTuple):
    """The name that people gave a destination, and its sink."""

    name: str
    sink: str


async def destination_names(connection: AsyncConnection) -> dict[str, DestinationName]:
    """Return the name of every destination by id, but of removed ones."""
    query = select(destinations.c.id, destinations.c.name, destinations.c.sink)
    rows = await connection.execute(query.where(destinations.c.removed_at_ms.is_(None)))
    return {row.id: DestinationName(row.name, row.sink) for row in rows}


async def hold(
    connection: AsyncConnection,
    destination_id: str,
    until: datetime,
    *,
    probe_lease: str | None = None,
) -> None:
    """Hold a destination back until then; ``probe_lease`` is the lease of its probe, if any."""
    await connection.execute(
        update(destinations)
        .where(destinations.c.id == destination_id)
        .values(held_until_ms=to_epoch_ms(until), probe_lease=probe_lease)
    )


async def release_probes(
    connection: AsyncConnection, now: datetime, leases: Collection[str] | None = None
) -> None:
    """Let destinations take another probe where the present one is released without an attempt.

    Of the probes claimed under ``leases``, or of all. A pause made by the breaker, or asked for
    by the receiver, continues.
    """
    lease = destinations.c.probe_lease
    await connection.execute(
        update(destinations)
        .where(
            lease.is_not(None) if leases is None else lease.in_(leases),
            destinations.c.held_until_ms > to_epoch_ms(now),
        )
        .values(held_until_ms=to_epoch_ms(now), probe_lease=None)
    )


def optional_time(epoch_ms: int | None) -> datetime | None:
    """Read a column of milliseconds."""
    return None if epoch_ms is None else from_epoch_ms(epoch_ms)


def optional_ms(at: datetime | None) -> int | None:
    """Write a column of milliseconds."""
    return None if at is None else to_epoch_ms(at)
