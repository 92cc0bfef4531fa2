"""Destinations in the database: who wants events, with the sink's settings sealed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import Caller, Mode
from gateway.model.circuit_breaker import Condition
from gateway.model.delivery import Destination
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.destination_health import (
    condition_columns,
    condition_of,
    moment,
    ms_or_none,
    not_held,
)
from gateway.storage.schema import destinations


class Subscription(NamedTuple):
    """What fan-out needs to know of a destination: whose it is, and what it asked for."""

    id: str
    account_id: str
    mode: Mode
    site: str | None
    events: tuple[str, ...]
    ordered: bool


class DestinationStore:
    """Reads and writes destinations."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

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
        """Write what an account may change: everything but id, account, mode and history."""
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
                disabled_at_ms=ms_or_none(destination.disabled_at),
                **condition_columns(Condition(destination.breaker, destination.failing_since)),
            )
        )

    async def remove(self, connection: AsyncConnection, destination_id: str, at: datetime) -> None:
        """Take a destination away; its row stays for the log, its secrets do not."""
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
        return None if row is None else self._destination(row)

    async def list(
        self, connection: AsyncConnection, caller: Caller, sink: str | None = None
    ) -> list[Destination]:
        """Return the destinations that ``caller`` may see, oldest first."""
        query = self._visible(caller).order_by(destinations.c.id)
        if sink is not None:
            query = query.where(destinations.c.sink == sink)
        return [self._destination(row) for row in await connection.execute(query)]

    async def of_sink(
        self, connection: AsyncConnection, sink: str, *, after_id: str, limit: int
    ) -> Sequence[Destination]:
        """Return every account's destinations of a kind, in the order of their ids.

        For what a sink has to see to by itself; a page begins behind ``after_id``.
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
        return [self._destination(row) for row in rows]

    async def for_dispatch(
        self, connection: AsyncConnection, destination_id: str, now: datetime
    ) -> Destination | None:
        """Return the destination when it takes deliveries now, else ``None``.

        With its breaker half open it takes one, to see whether it works again.
        """
        query = select(destinations).where(
            destinations.c.id == destination_id,
            destinations.c.state == "active",
            destinations.c.removed_at_ms.is_(None),
            not_held(now),
        )
        row = (await connection.execute(query)).first()
        return None if row is None else self._destination(row)

    async def for_recovery(
        self, connection: AsyncConnection, destination_id: str
    ) -> Destination | None:
        """Return the destination while it is there and not disabled, else ``None``."""
        query = select(destinations).where(
            destinations.c.id == destination_id,
            destinations.c.state != "disabled",
            destinations.c.removed_at_ms.is_(None),
        )
        row = (await connection.execute(query)).first()
        return None if row is None else self._destination(row)

    async def subscriptions(
        self, connection: AsyncConnection, account_ids: Collection[str]
    ) -> Sequence[Subscription]:
        """Return who in ``account_ids`` wants events: all but the disabled and removed."""
        rows = await connection.execute(
            select(
                destinations.c.id,
                destinations.c.account_id,
                destinations.c.mode,
                destinations.c.site,
                destinations.c.events,
                destinations.c.ordered,
            ).where(
                destinations.c.account_id.in_(sorted(account_ids)),
                destinations.c.state != "disabled",
                destinations.c.removed_at_ms.is_(None),
            )
        )
        return [
            Subscription(row[0], row[1], row[2], row[3], tuple(row[4].split()), bool(row[5]))
            for row in rows
        ]

    async def disable(
        self, connection: AsyncConnection, destination_id: str, reason: str, at: datetime
    ) -> Destination | None:
        """Stop a destination; returns it, or ``None`` when it was stopped already."""
        changed = await connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id, destinations.c.state != "disabled")
            .values(state="disabled", state_reason=reason, disabled_at_ms=to_epoch_ms(at))
            .returning(*destinations.c)
        )
        row = changed.first()
        return None if row is None else self._destination(row)

    @staticmethod
    def _visible(caller: Caller) -> Any:
        query = select(destinations).where(
            destinations.c.account_id == caller.account_id,
            destinations.c.mode == caller.mode,
            destinations.c.removed_at_ms.is_(None),
        )
        return query if caller.site is None else query.where(destinations.c.site == caller.site)

    def _seal(self, destination_id: str, settings: Mapping[str, Any]) -> bytes:
        encoded = msgspec.json.encode(settings)
        return self._sealer.seal(encoded, table="destinations", row_id=destination_id)

    def _destination(self, row: Row[Any]) -> Destination:
        settings = self._sealer.unseal(bytes(row.settings), table="destinations", row_id=row.id)
        return Destination(
            id=row.id,
            account_id=row.account_id,
            mode=row.mode,
            site=row.site,
            sink=row.sink,
            name=row.name,
            events=tuple(row.events.split()),
            state=row.state,
            state_reason=row.state_reason,
            settings=msgspec.json.decode(settings),
            max_in_flight=row.max_in_flight,
            max_per_second=row.max_per_second,
            ordered=bool(row.ordered),
            created_at=from_epoch_ms(row.created_at_ms),
            last_success_at=moment(row.last_success_at_ms),
            failing_since=moment(row.failing_since_ms),
            disabled_at=moment(row.disabled_at_ms),
            breaker=condition_of(row).breaker,
        )
