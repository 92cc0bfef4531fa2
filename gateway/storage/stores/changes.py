"""The feed of changes: written in the transaction of each change, kept for an hour.

A row is what changed of one topic, account, mode and site in one transaction. A reader's place is
the sequence up to which it has read. PostgreSQL hands out a sequence before the transaction
commits: a number that is missing below the place may still appear, and is a gap for as long as a
transaction may last. SQLite has one writer and no gaps.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.model.account import Mode
from gateway.model.audit import AuditEntry
from gateway.model.change import Change
from gateway.model.delivery import ClaimedDelivery
from gateway.model.event import Event
from gateway.storage.database import Database, insert_rows
from gateway.storage.schema import changes
from gateway.storage.statements import CHANGES_AFTER, LATEST_CHANGE
from gateway.storage.transaction import Row, Statement, Transaction

MAX_IDS: Final = 50
"""So many ids are kept of a change; where there are more, the row says so."""
KEPT_FOR: Final = timedelta(hours=1)
_MORE: Final = "*"
_COLUMNS: Final = ("topic", "account_id", "mode", "site", "count", "ids", "at_ms")
_DELETED_AT_ONCE: Final = 2000
_READ_AT_ONCE: Final = 2000
_MAX_GAPS: Final = 1000
# At the start some earlier rows are looked at, for the gaps among them.
_LOOKED_BACK: Final = 200
_GAP_SECONDS: Final = 60.0
_PACKAGE: Final = "pkg_"
_AUDITED: Final = {
    "key": "keys",
    "person": "people",
    "invitation": "people",
    "factor": "people",
    "session": "people",
    "sessions": "people",
}


class StoredChange(NamedTuple):
    """A row of the feed. ``has_more`` says that more things changed than ``ids`` names."""

    sequence: int
    topic: str
    account_id: str
    mode: Mode | None
    site: str | None
    total: int
    ids: tuple[str, ...]
    has_more: bool
    at_ms: int


async def note_changes(connection: AsyncConnection, noted: Iterable[Change], now: datetime) -> None:
    """Write what changed, in the transaction of the change and as its last statement.

    Changes of the same topic, account, mode and site become one row.
    """
    rows: dict[tuple[str, str, str | None, str | None], tuple[list[str], int]] = {}
    for each in noted:
        ids, count = rows.get(each[:4], ([], 0))
        ids += each.ids
        rows[each[:4]] = (ids, count + (len(each.ids) if each.total is None else each.total))
    if rows:
        at_ms = to_epoch_ms(now)
        written = [(*key, count, _joined(ids), at_ms) for key, (ids, count) in rows.items()]
        await insert_rows(connection, changes, _COLUMNS, written)


def event_changes(recorded: Sequence[Event]) -> list[Change]:
    """Return what recorded events change: themselves, and the packages they are about."""
    groups: dict[tuple[str, Mode, str | None], tuple[list[str], list[str]]] = {}
    for event in recorded:
        key = (event.account_id, event.mode, event.site)
        group = groups.get(key)
        if group is None:
            group = groups[key] = ([], [])
        group[0].append(event.id)
        if event.subject.startswith(_PACKAGE):
            group[1].append(event.subject)
    noted = []
    for key, (events, packages) in groups.items():
        noted.append(Change("events", *key, events))
        if packages:
            noted.append(Change("packages", *key, packages))
    return noted


def delivery_changes(attempted: Iterable[ClaimedDelivery]) -> list[Change]:
    """Return what attempts change: deliveries, by their ids, endpoints and subjects."""
    groups: dict[tuple[str, Mode, str | None], list[ClaimedDelivery]] = defaultdict(list)
    for each in attempted:
        event = each.event
        groups[event.account_id, event.mode, event.site].append(each)
    noted = []
    for key, group in groups.items():
        endpoints = sorted({each.destination_id for each in group})
        ids = [each.id for each in group]
        subjects = [each.event.subject for each in group]
        noted.append(Change("deliveries", *key, [*endpoints, *ids, *subjects], len(ids)))
    return noted


def audited_changes(entries: Iterable[AuditEntry]) -> list[Change]:
    """Return what audited actions change that nothing else notes: keys and people."""
    return [
        Change(topic, each.account_id, None, None, [each.subject])
        for each in entries
        if (topic := _AUDITED.get(each.action.partition(".")[0])) is not None
    ]


def change_arrays(noted: Sequence[Change]) -> dict[str, list[object]]:
    """Return changes of different keys as the arrays of ``DELIVERED_TO_HEALTHY``."""
    return {
        "topics": [each.topic for each in noted],
        "change_accounts": [each.account_id for each in noted],
        "modes": [each.mode for each in noted],
        "sites": [each.site for each in noted],
        "counts": [len(each.ids) if each.total is None else each.total for each in noted],
        "change_ids": [_joined(each.ids) for each in noted],
    }


def _joined(ids: Sequence[str]) -> str:
    if len(ids) <= MAX_IDS:
        return " ".join(ids)
    return " ".join((*ids[:MAX_IDS], _MORE))


class FeedReader:
    """Reads the feed from a place on; late commits are found by the gaps they leave."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.place: int | None = None
        """The highest sequence that was read; ``None`` before the first read."""
        self._gaps: dict[int, float] = {}

    async def begin(self) -> None:
        """Take the end of the feed as the place; gaps just before it are waited for."""
        [(latest,)] = await self._fetched(LATEST_CHANGE)
        self.place = max(0, (latest or 0) - _LOOKED_BACK)
        self._gaps.clear()
        await self.read()

    async def read(self) -> list[StoredChange]:
        """Return what was committed since the last read, in one query."""
        if self.place is None:
            await self.begin()
            return []
        rows = await self._fetched(
            CHANGES_AFTER, after=self.place, gaps=sorted(self._gaps), most=_READ_AT_ONCE
        )
        found = [_stored(row) for row in rows]
        self._advance([each.sequence for each in found])
        return found

    async def since(self, place: int, now: datetime) -> list[StoredChange] | None:
        """Return what was committed after an earlier place; ``None`` when some of it is gone.

        The row at the place is gone after an hour, or after another database was restored. What
        is just before it is returned as well, as long as a gap there may have closed since.
        """
        first = max(0, place - 1 - _LOOKED_BACK)
        rows = await self._fetched(CHANGES_AFTER, after=first, gaps=[], most=_READ_AT_ONCE)
        found = [_stored(row) for row in rows]
        if len(rows) == _READ_AT_ONCE or not (
            place == 0 or any(r.sequence == place for r in found)
        ):
            return None
        recent_ms = to_epoch_ms(now) - int(_GAP_SECONDS * 1000)
        return [each for each in found if each.sequence > place or each.at_ms > recent_ms]

    async def recent(self, now: datetime, seconds: float) -> list[StoredChange]:
        """Return what was committed in the last seconds, for a page that was made just before."""
        [(latest,)] = await self._fetched(LATEST_CHANGE)
        first = max(0, (latest or 0) - _LOOKED_BACK)
        rows = await self._fetched(CHANGES_AFTER, after=first, gaps=[], most=_READ_AT_ONCE)
        since_ms = to_epoch_ms(now) - int(seconds * 1000)
        return [each for each in map(_stored, rows) if each.at_ms >= since_ms]

    def _advance(self, sequences: Sequence[int]) -> None:
        """Move the place, and note the numbers that are missing below it."""
        assert self.place is not None  # noqa: S101 - begin() has set it
        now = self._clock.monotonic_seconds()
        for sequence in sequences:
            if self._gaps.pop(sequence, None) is None and sequence > self.place:
                missing = range(max(self.place + 1, sequence - _MAX_GAPS), sequence)
                self._gaps.update(dict.fromkeys(missing, now + _GAP_SECONDS))
                self.place = sequence
        if self._database.dialect == "sqlite":
            self._gaps.clear()
        kept = [(each, until) for each, until in self._gaps.items() if until > now]
        self._gaps = dict(kept[-_MAX_GAPS:])

    async def _fetched(self, statement: Statement, **values: object) -> Sequence[Row]:
        """Run a look-up by the primary key: on SQLite in this thread, else in one round trip."""
        if self._database.dialect == "sqlite":
            values.pop("gaps", None)
            rows = self._database.read_now(statement, **values)
            if rows is not None:
                return rows

        async def read(transaction: Transaction) -> Sequence[Row]:
            return await transaction.fetch(statement, **values)

        return await self._database.transact(read)


def _stored(row: Row) -> StoredChange:
    sequence, topic, account_id, mode, site, count, ids, at_ms = row
    named = tuple(ids.split())
    has_more = named[-1:] == (_MORE,)
    named = named[:-1] if has_more else named
    return StoredChange(sequence, topic, account_id, mode, site, count, named, has_more, at_ms)


async def sweep_changes(database: Database, now: datetime) -> int:
    """Delete what is older than an hour, oldest first; returns the number of rows.

    The newest row stays: SQLite would begin to count from 1 again.
    """
    now_ms, kept_ms = to_epoch_ms(now), KEPT_FOR // timedelta(milliseconds=1)
    deleted = 0
    while True:
        async with database.begin() as connection:
            found = await connection.execute(
                select(changes.c.sequence, changes.c.at_ms)
                .order_by(changes.c.sequence)
                .limit(_DELETED_AT_ONCE + 1)
            )
            rows = found.all()[:-1]
            # A time ahead is that of a clock that was set back since.
            old = list(takewhile(lambda row: abs(now_ms - row.at_ms) > kept_ms, rows))
            if old:
                last = old[-1].sequence
                await connection.execute(delete(changes).where(changes.c.sequence <= last))
        deleted += len(old)
        if len(old) < _DELETED_AT_ONCE:
            return deleted
