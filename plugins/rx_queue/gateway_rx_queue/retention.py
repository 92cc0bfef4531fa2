"""Retention: erases the content of finished jobs by age, and later deletes their rows.

Erasure replaces the encrypted content by an empty one and removes the patient's blind indexes; id,
state, times and history stay, and so does the index that recognizes the same submission. Unfinished
jobs stay at any age.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Select, delete, select, text, true, update

from gateway.plugin import DEFAULT_ACCOUNT, AsyncConnection, AuditEntry, Gateway, to_epoch_ms
from gateway_rx_queue.job import JobContent
from gateway_rx_queue.model import Prescription
from gateway_rx_queue.store import JobStore
from gateway_rx_queue.tables import OVER, rx_history, rx_jobs

_log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 3600.0
_ROWS_AT_ONCE: Final = 500
_PAUSE_SECONDS: Final = 0.05
_ERASED: Final = JobContent(prescription=Prescription())


class Retention:
    """Applies the settings' ages to jobs, ``rows_at_once`` in a transaction."""

    def __init__(
        self, gateway: Gateway, store: JobStore, *, rows_at_once: int = _ROWS_AT_ONCE
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._rows_at_once = rows_at_once

    async def run(self) -> None:
        """Apply the ages, unless the settings disable retention."""
        ages = self._gateway.settings.retention
        if not ages.enabled:
            return
        done = []
        if ages.metadata_days:
            rows = await self._all(ages.metadata_days, self._delete, purged=None)
            done.append(f"{rows} rx jobs deleted")
        if ages.payload_days:
            erased = await self._all(ages.payload_days, self._erase, purged=False)
            done.append(f"{erased} rx jobs erased")
        changed = [each for each in done if not each.startswith("0 ")]
        if changed:
            _log.info("retention: %s", ", ".join(changed))
            entry = AuditEntry(DEFAULT_ACCOUNT, "gateway", "retention.applied", ", ".join(changed))
            await self._gateway.audit.note([entry])

    async def _all(self, days: int, work: Any, *, purged: bool | None) -> int:
        """Run ``work`` on all jobs finished before the cutoff, in bounded batches."""
        cutoff_ms = to_epoch_ms(self._gateway.clock.now() - timedelta(days=days))
        query = (
            select(rx_jobs.c.id)
            .where(text(OVER), rx_jobs.c.state_at_ms < cutoff_ms)
            .order_by(rx_jobs.c.purged, rx_jobs.c.state_at_ms)
            .limit(self._rows_at_once)
        )
        if purged is not None:
            query = query.where(rx_jobs.c.purged.is_(purged))
        total = 0
        while True:
            if not await self._any(query):
                return total
            async with self._gateway.database.begin() as connection:
                found = await connection.execute(query.with_for_update(skip_locked=True))
                ids = [row[0] for row in found]
                await work(connection, ids)
            total += len(ids)
            if len(ids) < self._rows_at_once:
                return total
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _any(self, query: Select[Any]) -> bool:
        """Return whether a row matches; a read takes no write lock."""
        async with self._gateway.database.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def _erase_files(self, connection: AsyncConnection, ids: Sequence[str]) -> None:
        owners = await connection.execute(
            select(rx_jobs.c.account_id, rx_jobs.c.id).where(rx_jobs.c.id.in_(ids))
        )
        await self._gateway.files.erase(connection, {(row[0], row[1]) for row in owners})

    async def _erase(self, connection: AsyncConnection, ids: Sequence[str]) -> None:
        await self._erase_files(connection, ids)
        for job_id in ids:
            await connection.execute(
                update(rx_jobs)
                .where(rx_jobs.c.id == job_id)
                .values(
                    payload=self._store.sealed(job_id, _ERASED),
                    patient_index=None,
                    fill_index=None,
                    purged=true(),
                )
            )

    async def _delete(self, connection: AsyncConnection, ids: Sequence[str]) -> None:
        await self._erase_files(connection, ids)
        await connection.execute(delete(rx_history).where(rx_history.c.job_id.in_(ids)))
        await connection.execute(delete(rx_jobs).where(rx_jobs.c.id.in_(ids)))
