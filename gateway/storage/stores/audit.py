"""The audit trail: who did or saw what, when, in whose record; append-only and chained.

Each row's digest covers the row and the digest before it, under a key: a row that was changed,
added or taken out afterwards shows (PHIPA s.10.1, HIPAA 164.312(b); :mod:`.audit_chain`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.schema import audit
from gateway.storage.stores.audit_chain import append, lock_chain, read_head
from gateway.storage.stores.changes import audited_changes, note_changes

FOLD_SECONDS: Final = 600.0
"""A repeated view of the same record by the same session or key is one entry for so long."""
_MAX_FOLDED: Final = 20_000


class AuditTrail:
    """Appends to the trail in transactions of its own, many entries to one."""

    def __init__(
        self, database: Database, sealer: Sealer, clock: Clock, *, metrics: Metrics | None = None
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self.has_written = False
        """Whether this trail has added a row since it was made."""
        self.admit_reveals: Callable[[str, int], Awaitable[None]] | None = None
        """Called before records are noted that a person is shown in full; may refuse."""
        self._recent: dict[tuple[object, ...], float] = {}
        self._batcher: Batcher[Sequence[AuditEntry], None] = Batcher(
            self._write, observe=(metrics or Metrics()).batches("audit")
        )

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Record who did or saw what; returns after the commit.

        A view, a reveal or a list that this process recorded less than ten minutes ago for the
        same session (or key) is not recorded again. Raises ``RateLimited`` when a person is shown
        more records than ``[limits] reveals_per_hour``.
        """
        now = self._clock.monotonic_seconds()
        new = [entry for entry in entries if not self._is_repeated(entry, now)]
        if not new:
            return
        if self.admit_reveals is not None:
            revealed = Counter(entry.actor for entry in new if entry.is_reveal_to_person)
            for actor, count in revealed.items():
                await self.admit_reveals(actor, count)
        await self._batcher.submit(new)
        for entry in new:
            if (key := entry.fold_key) is not None:
                self._recent[key] = now
        while len(self._recent) > _MAX_FOLDED:
            del self._recent[next(iter(self._recent))]

    async def record(
        self, connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime
    ) -> None:
        """Write it down in the transaction of ``connection``, beside the change itself."""
        self.has_written |= bool(entries)
        await append(connection, self._sealer, entries, at)
        await note_changes(connection, audited_changes(entries), at)

    async def begin_keyed(self, connection: AsyncConnection, at: datetime) -> None:
        """Cover the rows of an earlier version with a first row that is chained with a key."""
        await lock_chain(connection)
        newest = select(audit.c.chain_key).order_by(audit.c.sequence.desc()).limit(1)
        row = (await connection.execute(newest)).first()
        if row is None or row.chain_key is not None:
            return
        entry = AuditEntry(
            DEFAULT_ACCOUNT, "gateway", "audit.keyed", f"{await read_head(connection)}"
        )
        await append(connection, self._sealer, [entry], at)

    async def drained(self) -> None:
        """Wait until everything that was noted is stored."""
        await self._batcher.drained()

    def _is_repeated(self, entry: AuditEntry, now: float) -> bool:
        key = entry.fold_key
        if key is None:
            return False
        since = self._recent.get(key)
        if since is None:
            return False
        if now - since < FOLD_SECONDS:
            return True
        del self._recent[key]  # so that the new one is at the end
        return False

    async def _write(self, batch: Sequence[Sequence[AuditEntry]]) -> Sequence[None]:
        async with self._database.begin() as connection:
            entries = [each for note in batch for each in note]
            await append(connection, self._sealer, entries, self._clock.now())
        self.has_written = True
        return [None] * len(batch)
