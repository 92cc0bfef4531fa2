"""Scans and their pictures in the database, sealed."""

import io
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select, update

from gateway.plugin import (
    AsyncConnection,
    Caller,
    Change,
    Gateway,
    note_changes,
    to_epoch_ms,
    visible_to,
)
from gateway_labels.schema import Content, State
from gateway_labels.tables import pictures, scans

_PART_BYTES: Final = 256 * 1024
_DECODER: Final = msgspec.json.Decoder


class ScanStore:
    """Reads and writes scans."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._decode = _DECODER(Content).decode

    async def add(
        self,
        connection: AsyncConnection,
        caller: Caller,
        scan_id: str,
        site: str | None,
        parts: int,
    ) -> None:
        """Store a scan whose picture waits to be read."""
        now = self._gateway.clock.now()
        await connection.execute(
            insert(scans).values(
                id=scan_id,
                account_id=caller.account_id,
                mode=caller.mode,
                site=site,
                actor=caller.actor,
                state="reading",
                created_at_ms=to_epoch_ms(now),
                picture_parts=parts,
            )
        )
        change = Change("scans", caller.account_id, caller.mode, site, [scan_id])
        await note_changes(connection, [change], now)

    async def keep_picture(self, connection: AsyncConnection, scan_id: str, content: bytes) -> int:
        """Store a picture in place of the earlier one; returns the number of its parts."""
        await self.drop_pictures(connection, [scan_id])
        starts = range(0, len(content), _PART_BYTES)
        for part, start in enumerate(starts):
            sealed = self._gateway.sealer.seal(
                content[start : start + _PART_BYTES],
                table=pictures.name,
                row_id=f"{scan_id}:{part}",
            )
            await connection.execute(
                insert(pictures).values(scan_id=scan_id, part=part, content=sealed)
            )
        return len(starts)

    async def picture(self, scan_id: str, parts: int) -> io.BytesIO | None:
        """Return a picture; ``None`` for one that was erased."""
        found = io.BytesIO()
        for part in range(parts):
            async with self._gateway.database.read() as connection:
                sealed = await connection.scalar(
                    select(pictures.c.content).where(
                        pictures.c.scan_id == scan_id, pictures.c.part == part
                    )
                )
            if sealed is None:
                return None
            found.write(
                self._gateway.sealer.unseal(
                    bytes(sealed), table=pictures.name, row_id=f"{scan_id}:{part}"
                )
            )
        found.seek(0)
        return found if parts else None

    async def drop_pictures(self, connection: AsyncConnection, scan_ids: Collection[str]) -> None:
        """Delete pictures."""
        await connection.execute(delete(pictures).where(pictures.c.scan_id.in_(sorted(scan_ids))))

    async def get(self, scan_id: str, caller: Caller | None = None) -> Row[Any] | None:
        """Return a scan that ``caller`` may see; without a caller, one of any account."""
        query = select(scans).where(scans.c.id == scan_id)
        if caller is not None:
            query = query.where(*visible_to(caller, scans))
        async with self._gateway.database.read() as connection:
            return (await connection.execute(query)).first()

    async def page(
        self,
        caller: Caller,
        limit: int,
        before_id: str | None = None,
        states: Sequence[State] = (),
    ) -> Sequence[Row[Any]]:
        """Return scans, the newest first."""
        query = select(scans).where(*visible_to(caller, scans))
        if before_id is not None:
            query = query.where(scans.c.id < before_id)
        if states:
            query = query.where(scans.c.state.in_(states))
        async with self._gateway.database.read() as connection:
            found = await connection.execute(query.order_by(scans.c.id.desc()).limit(limit))
            return found.all()

    async def count(self, caller: Caller, state: State) -> tuple[int, int | None]:
        """Return how many scans are in a state, and since when (ms) the oldest has been."""
        query = select(func.count(), func.min(scans.c.created_at_ms)).where(
            *visible_to(caller, scans), scans.c.state == state
        )
        async with self._gateway.database.read() as connection:
            number, since = (await connection.execute(query)).one()
        return int(number), since

    async def waiting(self) -> int:
        """Return how many pictures wait to be read, of all accounts."""
        query = select(func.count()).where(scans.c.state == "reading")
        async with self._gateway.database.read() as connection:
            return int(await connection.scalar(query) or 0)

    def content(self, row: Row[Any]) -> Content:
        """Return a scan's fields; empty if they were erased, or aren't read yet."""
        if row.content is None:
            return Content()
        opened = self._gateway.sealer.unseal(bytes(row.content), table=scans.name, row_id=row.id)
        return self._decode(opened)

    async def move(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        before: Collection[State],
        after: State,
        *,
        content: Content | None = None,
        where: Sequence[ColumnElement[bool]] = (),
        **values: Any,
    ) -> bool:
        """Change a scan's state if it is in one of ``before``; returns whether it was."""
        if content is not None:
            values["content"] = self._gateway.sealer.seal(
                msgspec.json.encode(content), table=scans.name, row_id=row.id
            )
        moved = await connection.execute(
            update(scans)
            .where(scans.c.id == row.id, scans.c.state.in_(sorted(before)), *where)
            .values(state=after, **values)
        )
        if not moved.rowcount:
            return False
        change = Change("scans", row.account_id, row.mode, row.site, [row.id])
        await note_changes(connection, [change], self._gateway.clock.now())
        return True

    async def erase(self, connection: AsyncConnection, row: Row[Any], state: State) -> None:
        """Erase a scan's picture and fields; its row stays, without patient data."""
        await self.drop_pictures(connection, [row.id])
        await connection.execute(
            update(scans)
            .where(scans.c.id == row.id, scans.c.state == row.state)
            .values(state=state, content=None, picture_parts=0)
        )
        change = Change("scans", row.account_id, row.mode, row.site, [row.id])
        await note_changes(connection, [change], self._gateway.clock.now())

    async def older(
        self, states: Sequence[State], column: Any, before: datetime, limit: int
    ) -> Sequence[Row[Any]]:
        """Return unerased scans in ``states`` with an earlier time in ``column``."""
        query = (
            select(scans)
            .where(scans.c.state.in_(states), column < to_epoch_ms(before), _holds_something())
            .order_by(column)
            .limit(limit)
        )
        async with self._gateway.database.read() as connection:
            return (await connection.execute(query)).all()


def _holds_something() -> ColumnElement[bool]:
    return or_(scans.c.content.is_not(None), scans.c.picture_parts > 0)
