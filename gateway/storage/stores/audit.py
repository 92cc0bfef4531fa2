"""The audit trail: who did or saw what, when, in whose record; append-only and chained.

Each row's digest covers the row and the digest before it, so that a row that was
changed, added or taken out afterwards shows (PHIPA s.10.1, HIPAA 164.312(b)).
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import AUDIT_CHAIN_LOCK
from gateway.storage.schema import audit

_FIRST: Final = bytes(32)


class AuditEntry(NamedTuple):
    """Something that was done or seen. ``patient_index`` names the record, not the patient."""

    account_id: str
    actor: str
    action: str
    subject: str
    patient_index: bytes | None = None


class AuditTrail:
    """Appends to the trail in transactions of its own, many entries to one."""

    def __init__(self, database: Database, clock: Clock, *, metrics: Metrics | None = None) -> None:
        self._database = database
        self._clock = clock
        self._batcher: Batcher[Sequence[AuditEntry], None] = Batcher(
            self._write, observe=(metrics or Metrics()).batches("audit")
        )

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Record who did or saw what; returns after the commit."""
        if entries:
            await self._batcher.submit(entries)

    async def record(
        self, connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime
    ) -> None:
        """Write it down in the transaction of ``connection``, beside the change itself."""
        await append(connection, entries, at)

    async def drained(self) -> None:
        """Wait until everything that was noted is stored."""
        await self._batcher.drained()

    async def _write(self, batch: Sequence[Sequence[AuditEntry]]) -> Sequence[None]:
        async with self._database.begin() as connection:
            await append(connection, [each for note in batch for each in note], self._clock.now())
        return [None] * len(batch)


async def append(connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime) -> None:
    """Add ``entries`` to the chain, in the caller's transaction."""
    if not entries:
        return
    if connection.dialect.name == "postgresql":  # one chain: writers take turns
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_CHAIN_LOCK}
        )
    newest = select(audit.c.digest).order_by(audit.c.sequence.desc()).limit(1)
    digest = (await connection.execute(newest)).scalar() or _FIRST
    at_ms = to_epoch_ms(at)
    rows: list[dict[str, Any]] = []
    for entry in entries:
        digest = _digest(bytes(digest), at_ms, entry)
        rows.append({**entry._asdict(), "at_ms": at_ms, "digest": digest})
    await connection.execute(insert(audit), rows)


async def first_broken_link(connection: AsyncConnection) -> int | None:
    """Return the sequence of the first row that doesn't follow from the one before, if any."""
    digest = _FIRST
    async with connection.stream(select(audit).order_by(audit.c.sequence)) as rows:
        async for row in rows:
            digest = _digest(digest, row.at_ms, _entry(row))
            if digest != bytes(row.digest):
                return int(row.sequence)
    return None


def _entry(row: Row[Any]) -> AuditEntry:
    patient = None if row.patient_index is None else bytes(row.patient_index)
    return AuditEntry(row.account_id, row.actor, row.action, row.subject, patient)


def _digest(previous: bytes, at_ms: int, entry: AuditEntry) -> bytes:
    patient = (entry.patient_index or b"").hex()
    parts = (str(at_ms), entry.account_id, entry.actor, entry.action, entry.subject, patient)
    written = b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)
    return hashlib.sha256(previous + written).digest()
