"""Undo an import: cancel its packages whose status is still ``created``.

Cancelled rows can be imported again: their claims are deleted, and their order ids are free. A
package with a later status stays, and so does the claim of its row: the same file makes no second
package.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Caller, Conflict, DeliveryUpdate, Gateway, to_epoch_ms, visible_to
from gateway_csv.service import Paused
from gateway_csv.store import ImportStore, Stored
from gateway_csv.tables import imports, known_rows, made_packages

_AT_ONCE: Final = 200
_KEY_BYTES: Final = 16
_NOTE: Final = "The import that made this package was undone."


class Undo:
    """The undo of one import, in the name of ``caller``."""

    def __init__(self, gateway: Gateway, found: Stored, caller: Caller) -> None:
        self._gateway = gateway
        self._import = found
        self._caller = caller
        # An undo of an import with ``--again`` keeps the claims of earlier packages.
        self._frees_rows = not (found.details is not None and found.details.options.again)

    async def standing(self) -> Counter[str]:
        """Count the import's packages by status, without those that it didn't make."""
        counts: Counter[str] = Counter()
        after = ""
        while page := await self._page(after, is_settled=None):
            counts.update((await self._statuses([row.package_id for row in page])).values())
            after = page[-1].package_id
        return counts

    async def run(self) -> int:
        """Cancel packages in status ``created``; returns how many were cancelled this time.

        It can be repeated after a crash: only packages that it cancelled count.
        """
        cancelled = 0
        after = ""
        while page := await self._page(after, is_settled=False):
            after = page[-1].package_id
            cancelled += await self._settle(page)
            if self._gateway.stopping.is_set():
                raise Paused
        return cancelled

    async def _page(self, after: str, *, is_settled: bool | None) -> Sequence[Any]:
        query = select(made_packages.c.package_id, made_packages.c.row_keys).where(
            made_packages.c.import_id == self._import.id, made_packages.c.package_id > after
        )
        if is_settled is False:
            query = query.where(made_packages.c.settled_at_ms.is_(None))
        query = query.order_by(made_packages.c.package_id).limit(_AT_ONCE)
        async with self._gateway.database.read() as connection:
            return (await connection.execute(query)).all()

    async def _statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the statuses of the packages that this import made: none is older than it."""
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.standing(connection, self._caller, ids)
        begun = self._import.started_at
        return {key: status for key, (status, created_at) in found.items() if created_at >= begun}

    async def _settle(self, page: Sequence[Any]) -> int:
        statuses = await self._statuses([row.package_id for row in page])
        answers = await asyncio.gather(
            *(
                self._cancelled(row.package_id)
                for row in page
                if statuses.get(row.package_id) in {"created", "cancelled"}
            )
        )
        ours = {each for each in answers if each is not None}
        now = self._gateway.clock.now()
        async with self._gateway.database.begin() as connection:
            if self._frees_rows and ours:
                await self._free(connection, [row for row in page if row.package_id in ours])
            await self._note_settled(connection, page, len(ours), now)
            await ImportStore(self._gateway).note_change(connection, self._import.id)
        return len(ours)

    async def _cancelled(self, package_id: str) -> str | None:
        """Cancel a package; returns its id if this undo did it, now or before a crash."""
        update_of_it = DeliveryUpdate(
            package_id=package_id,
            event="package.cancelled",
            notes=_NOTE,
            event_ref=f"undo:{self._import.id}",
        )
        try:
            await self._gateway.tracking.apply(self._caller, update_of_it)
        except Conflict:  # cancelled by a person before, or moved at the same time
            return None
        return package_id

    async def _free(self, connection: AsyncConnection, rows: Sequence[Any]) -> None:
        keys = [
            row.row_keys[start : start + _KEY_BYTES]
            for row in rows
            for start in range(0, len(row.row_keys), _KEY_BYTES)
        ]
        ids = [row.package_id for row in rows]
        of_all_sites = msgspec.structs.replace(self._caller, sites=None)
        await self._gateway.packages.release_orders(connection, self._caller, ids)
        await connection.execute(
            delete(known_rows).where(
                *visible_to(of_all_sites, known_rows),
                known_rows.c.row_index.in_(keys),
                known_rows.c.import_id == self._import.id,
            )
        )

    async def _note_settled(
        self, connection: AsyncConnection, page: Sequence[Any], cancelled: int, now: datetime
    ) -> None:
        ids = [row.package_id for row in page]
        at_ms = to_epoch_ms(now)
        await connection.execute(
            update(made_packages)
            .where(
                made_packages.c.import_id == self._import.id, made_packages.c.package_id.in_(ids)
            )
            .values(settled_at_ms=at_ms)
        )
        await connection.execute(
            update(imports)
            .where(imports.c.id == self._import.id)
            .values(undone=func.coalesce(imports.c.undone, 0) + cancelled, updated_at_ms=at_ms)
        )
