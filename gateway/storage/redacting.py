"""Emptying packages before their age, because somebody asked to be forgotten."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.model.account import Caller
from gateway.model.package import TERMINAL
from gateway.model.submission import Redacted
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.retention.erasure import Turn, delivered_packages, empty_packages
from gateway.storage.schema import packages

_SOON_MS = 1  # whatever was made before this moment may go


async def empty_finished(
    connection: AsyncConnection,
    sealer: Sealer,
    caller: Caller,
    package_ids: Collection[str],
    now: datetime,
) -> Redacted:
    """Empty those of ``package_ids`` that are over; one that is empty already counts as done."""
    query = (
        select(packages)
        .where(
            packages.c.account_id == caller.account_id,
            packages.c.mode == caller.mode,
            packages.c.id.in_(sorted(package_ids)),
        )
        .order_by(packages.c.id)
        .with_for_update()
    )
    if caller.site is not None:
        query = query.where(packages.c.site == caller.site)
    rows = list(await connection.execute(query))
    turn = Turn(connection, sealer, to_epoch_ms(now) + _SOON_MS, rehearsal=False)
    full = [row for row in rows if row.status in TERMINAL and not row.purged]
    free = await delivered_packages(turn, full) if full else []
    if free:
        await empty_packages(turn, free)
    emptied = {row.id for row in free} | {row.id for row in rows if row.purged}
    kept = dict.fromkeys(package_ids, "unknown")
    kept |= {row.id: "under_way" for row in rows}
    kept |= {row.id: "still_told" for row in full}
    return Redacted(
        tuple(sorted(emptied)),
        {each: reason for each, reason in sorted(kept.items()) if each not in emptied},
    )
