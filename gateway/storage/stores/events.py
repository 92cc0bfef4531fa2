"""Events in the database: appended, never changed; their data sealed."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import SealError, SealKeyMissing
from gateway.model.account import Caller
from gateway.model.event import Event, EventDraft
from gateway.model.ids import first_id
from gateway.observability.log_context import traceparent
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import among, insert_rows
from gateway.storage.schema import BY_SITE, BY_TYPE, TEST, events
from gateway.storage.statements import EVENT_BY_ID
from gateway.storage.tenancy import visible_to
from gateway.storage.transaction import Row, fetch_each

_log = logging.getLogger(__name__)

_NEW_EVENT: Final = (
    "id",
    "account_id",
    "mode",
    "site",
    "type",
    "subject",
    "occurred_at_ms",
    "recorded_at_ms",
    "actor",
    "ref",
    "status_after",
    "late",
    "trace",
    "not_sent",
    "data",
)


# Made once: an element of a statement is a dozen objects in cycles, left to the garbage collector.
_REPORTED: Final = select(events.c.subject, events.c.ref, events.c.id, events.c.status_after).where(
    tuple_(events.c.subject, events.c.ref).in_(bindparam("refs", expanding=True))
)
_READ: Final = select(
    events.c.id,
    events.c.type,
    events.c.account_id,
    events.c.mode,
    events.c.site,
    events.c.subject,
    events.c.data,
    events.c.occurred_at_ms,
    events.c.recorded_at_ms,
    events.c.actor,
    events.c.status_after,
    events.c.late,
    events.c.purged,
    events.c.trace,
    events.c.not_sent,
)
# An event goes to several destinations within moments: unsealed once, kept for so many.
# Beside the data and sealed with it: whatever is not sent must not be readable either.
_ROUTING: Final = "_routing"
_MAX_CACHED: Final = 4096
_FAST_CLOCK: Final = timedelta(hours=1)
_LATE_REPORTS: Final = timedelta(days=10)


def as_recorded(drafts: Sequence[EventDraft], recorded_at: datetime) -> list[Event]:
    """Return the events that ``drafts`` become when they are recorded at that time."""
    trace = traceparent.get()
    return [
        Event(
            id=draft.id,
            type=draft.type,
            account_id=draft.account_id,
            mode=draft.mode,
            site=draft.site,
            subject=draft.subject,
            data=draft.data,
            occurred_at=draft.occurred_at,
            recorded_at=recorded_at,
            actor=draft.actor,
            status_after=draft.status_after,
            late=draft.late,
            trace=draft.trace or trace,
            routing=draft.routing,
        )
        for draft in drafts
    ]


class EarlierReport(NamedTuple):
    """The answer to an earlier report with the same reference."""

    event_id: str
    status_after: str | None


class EventStore:
    """Appends and reads events."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        # Decimals stay numbers with their two places: 12.50, as the wire has them.
        self._encoder = msgspec.json.Encoder(decimal_format="number")
        self._decoder = msgspec.json.Decoder(float_hook=Decimal)
        self._cache: dict[str, Event] = {}

    async def append(
        self, connection: AsyncConnection, drafts: Sequence[EventDraft], recorded_at: datetime
    ) -> list[Event]:
        """Write ``drafts`` in their order and return them as recorded."""
        recorded = as_recorded(drafts, recorded_at)
        await self.write(connection, recorded, drafts)
        return recorded

    async def write(
        self, connection: AsyncConnection, recorded: Sequence[Event], drafts: Sequence[EventDraft]
    ) -> None:
        """Write events that were made of ``drafts`` (:func:`as_recorded`), in their order."""
        rows: list[tuple[Any, ...]] = []
        for event, draft in zip(recorded, drafts, strict=True):
            said = {**event.data, _ROUTING: event.routing} if event.routing else event.data
            data = self._sealer.seal(self._encoder.encode(said), table="events", row_id=event.id)
            rows.append(
                (
                    event.id,
                    event.account_id,
                    event.mode,
                    event.site,
                    event.type,
                    event.subject,
                    to_epoch_ms(event.occurred_at),
                    to_epoch_ms(event.recorded_at),
                    event.actor,
                    draft.ref,
                    event.status_after,
                    event.late,
                    event.trace,
                    event.not_sent,
                    data,
                )
            )
        await insert_rows(connection, events, _NEW_EVENT, rows)

    async def by_ref(
        self, connection: AsyncConnection, refs: Collection[tuple[str, bytes]]
    ) -> dict[tuple[str, bytes], EarlierReport]:
        """Return the answers to those ``(subject, ref)`` that were reported before."""
        if not refs:
            return {}
        rows = await connection.execute(_REPORTED, {"refs": list(refs)})
        return {(row[0], bytes(row[1])): EarlierReport(row[2], row[3]) for row in rows}

    async def by_id(self, connection: AsyncConnection, ids: Collection[str]) -> dict[str, Event]:
        """Return the events of ``ids``, by id, without those deleted or unreadable."""
        known = self._cache
        found = {event_id: known[event_id] for event_id in ids if event_id in known}
        missing = [event_id for event_id in ids if event_id not in found]
        if missing:
            found |= self.read(await fetch_each(connection, EVENT_BY_ID, "id", missing))
        return found

    def read(self, rows: Iterable[Row]) -> dict[str, Event]:
        """Return the events of rows of ``EVENT_COLUMNS``, by id, without unreadable ones."""
        known = self._cache
        found: dict[str, Event] = {}
        for row in rows:
            if (event := known.get(row[0])) is None:
                try:
                    event = self._event(row)
                except SealKeyMissing:
                    raise  # it is sound: a process that has the key can send it
                except SealError as error:
                    _log.error("event %s can't be read: %s", row[0], error.message)
                    continue
            found[event.id] = known[event.id] = event
        while len(known) > _MAX_CACHED:
            del known[next(iter(known))]
        return found

    def as_read(self, event: Event) -> Event:
        """Return an event that was appended just now as :meth:`by_id` would read it."""
        data = self._decoder.decode(self._encoder.encode(event.data))
        return msgspec.structs.replace(event, data=data)

    async def get(self, connection: AsyncConnection, caller: Caller, event_id: str) -> Event | None:
        """Return the event, or ``None`` when there is none that ``caller`` may see."""
        found = await connection.execute(self._visible(caller).where(events.c.id == event_id))
        row = found.first()
        return None if row is None else self._event(row)

    async def of_subject(
        self, connection: AsyncConnection, caller: Caller, subject: str
    ) -> list[Event]:
        """Return the events of ``subject``, in the order they were recorded."""
        rows = await connection.execute(
            self._visible(caller).where(events.c.subject == subject).order_by(events.c.sequence)
        )
        return [self._event(row) for row in rows]

    async def page(
        self,
        connection: AsyncConnection,
        caller: Caller,
        *,
        limit: int,
        before_id: str | None = None,
        after_id: str | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
    ) -> list[Event]:
        """Return up to ``limit`` events, newest first; with ``after_id`` the next, oldest first.

        ``since`` leaves out what happened before.
        """
        query = self._visible(caller).limit(limit)
        if caller.mode == "test":
            query = query.where(text(f"events.{TEST}"))  # as the index of test data has it
        elif event_type is not None:
            query = query.where(text(f"events.{BY_TYPE}"))
        elif caller.site is not None:
            query = query.where(text(f"events.{BY_SITE}"))
        if since is not None:
            query = query.where(events.c.id >= first_id("evt", since))
        if event_type is not None:
            query = query.where(events.c.type == event_type)
        if after_id is not None:
            query = query.where(events.c.id > after_id).order_by(events.c.id)
        else:
            query = query.order_by(events.c.id.desc())
        if before_id is not None:
            query = query.where(events.c.id < before_id)
        return [self._event(row) for row in await connection.execute(query)]

    async def occurred(
        self,
        connection: AsyncConnection,
        caller: Caller,
        *,
        since: datetime,
        until: datetime,
        types: Collection[str],
    ) -> list[Event]:
        """Return the events of ``types`` that happened in a period, in the order they did.

        They are looked for among what was recorded from an hour before it to ten days after it: a
        phone may report late, and its clock may be fast.
        """
        first = first_id("evt", since - _FAST_CLOCK)
        last = first_id("evt", until + _LATE_REPORTS)
        rows = await connection.execute(
            self._visible(caller)
            .where(
                events.c.id >= first,
                events.c.id < last,
                events.c.type.in_(sorted(types)),
                events.c.occurred_at_ms >= to_epoch_ms(since),
                events.c.occurred_at_ms < to_epoch_ms(until),
            )
            .order_by(events.c.occurred_at_ms, events.c.id)
        )
        return [self._event(row) for row in rows]

    async def newest_of(
        self,
        connection: AsyncConnection,
        caller: Caller,
        subjects: Collection[str],
        event_types: Collection[str],
    ) -> dict[str, Event]:
        """Return the newest event of those types of each of ``subjects`` that has one."""
        if not subjects:
            return {}
        rows = await connection.execute(
            self._visible(caller)
            .where(among(connection, events.c.subject, subjects), events.c.type.in_(event_types))
            .order_by(events.c.sequence)
        )
        newest = {row.subject: row for row in rows}
        return {subject: self._event(row) for subject, row in newest.items()}

    async def between(
        self,
        connection: AsyncConnection,
        account_id: str,
        *,
        after_id: str,
        until_ms: int,
        limit: int,
        locked: bool = True,
    ) -> list[Event]:
        """Return an account's events after ``after_id`` recorded before ``until_ms``.

        ``locked`` until the transaction ends: retention must not erase one before it is queued.
        """
        query = (
            _READ.where(
                events.c.account_id == account_id,
                events.c.id > after_id,
                events.c.recorded_at_ms < until_ms,
            )
            .order_by(events.c.id)
            .limit(limit)
        )
        rows = await connection.execute(query.with_for_update(read=True) if locked else query)
        return [self._event(row) for row in rows]

    @staticmethod
    def _visible(caller: Caller) -> Any:
        return _READ.where(*visible_to(caller, events))

    def _event(self, row: Sequence[Any]) -> Event:
        """Read a row of ``_READ``; by position, which takes a third of the time of names."""
        (
            event_id,
            kind,
            account_id,
            mode,
            site,
            subject,
            sealed,
            occurred_at_ms,
            recorded_at_ms,
            actor,
            status_after,
            late,
            purged,
            trace,
            not_sent,
        ) = row
        unsealed = self._sealer.unseal(bytes(sealed), table="events", row_id=event_id)
        data = self._decoder.decode(unsealed)
        routing = data.pop(_ROUTING, {})
        return Event(
            id=event_id,
            type=kind,
            account_id=account_id,
            mode=mode,
            site=site,
            subject=subject,
            data=data,
            occurred_at=from_epoch_ms(occurred_at_ms),
            recorded_at=from_epoch_ms(recorded_at_ms),
            actor=actor,
            status_after=status_after,
            late=bool(late),
            purged=bool(purged),
            trace=trace,
            not_sent=not_sent,
            routing=routing,
        )
