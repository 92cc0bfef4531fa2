"""Disclosures: which bodies about whom went to which receiver.

The **ledger** is the attempts while they exist, and what retention folded them into: a row of
``disclosures`` for each patient, recipient, event type and field groups, with the first and last
time and the count. Changes of the ledger are covered by the audit trail with one row for many:
each row of the ledger has a keyed hash, and an audit row says by how much the sum of all hashes
(modulo 2^256) changed. So a delivery costs nothing here, :func:`verify_ledger` finds any change,
and retention can still delete.

* :class:`DisclosureLedger` closes the attempts of the last minute, and deletes old rows;
* :func:`fold` is what retention calls before it deletes attempts.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, from_epoch_ms, to_epoch_ms
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry, groups_of
from gateway.model.catalog import core_event_types
from gateway.model.ids import first_id, new_ids
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, among
from gateway.storage.schema import (
    attempts,
    audit,
    deliveries,
    disclosures,
    events,
    facts,
    package_prescriptions,
    packages,
    patient_lookups,
)
from gateway.storage.stores.audit_chain import append, lock_chain
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.lookups import add_lookups, lookups_of
from gateway.storage.stores.packages import PackageStore

_log = logging.getLogger(__name__)

CLOSED: Final = "disclosures.closed"
FOLDED: Final = "disclosures.folded"
EXPIRED: Final = "disclosures.expired"
_CLOSED_FACT: Final = "disclosures closed"
_ROWS_AT_ONCE: Final = 2000
_MODULUS: Final = 1 << 256
# Failures before anything of the body was sent (gateway.outbound.failures).
_NOT_SENT: Final = (
    "connect", "dns", "refused_address", "proxy", "bad_request", "unreadable", "no_outcome",
)  # fmt: skip
_SEPARATOR: Final = "|"
# An attempt as one text, made by the database: a minute may have thirty thousand of them. Ids,
# types and error words hold no separator.
_COVERED: Final[ColumnElement[str]] = reduce(
    lambda text, column: text + _SEPARATOR + column,
    [
        func.coalesce(cast(column, Text), "")
        for column in (
            attempts.c.sequence, attempts.c.account_id, attempts.c.destination_id,
            attempts.c.delivery_id, attempts.c.event_id, attempts.c.event_type, attempts.c.number,
            attempts.c.started_at_ms, case((attempts.c.delivered, 1), else_=0), attempts.c.status,
            attempts.c.error,
        )
    ],
)  # fmt: skip
# A row of disclosures; "times", because a row's "count" is that of every tuple.
READ: Final = select(
    *(each.label("times") if each.name == "count" else each for each in disclosures.c)
)
_FOLDED: Final = tuple("times" if each.name == "count" else each.name for each in disclosures.c)
_ABOUT_PACKAGES: Final = ("package", "delivery")
_DAYS_A_YEAR: Final = 365.25

WAS_SENT: Final[ColumnElement[bool]] = or_(
    attempts.c.status.is_not(None),
    and_(
        not_(attempts.c.delivered),
        func.coalesce(attempts.c.error, "").not_in(_NOT_SENT),
        func.coalesce(attempts.c.error, "").not_like("tls%"),
    ),
)
"""Matches attempts that sent their body, whatever was answered. A time-out may have."""


class LedgerCheck(NamedTuple):
    """The result of :func:`verify_ledger`."""

    rows: int
    is_whole: bool


class _Change(NamedTuple):
    """A change of the ledger: of the sum of hashes, with the last attempt that is covered."""

    total: int
    rows: int
    closed: int

    def __str__(self) -> str:
        return f"rows={self.rows} closed={self.closed} sum={self.total % _MODULUS:064x}"

    @classmethod
    def parse(cls, subject: str) -> "_Change":
        fields = dict(part.partition("=")[::2] for part in subject.split())
        return cls(int(fields["sum"], 16), int(fields["rows"]), int(fields["closed"]))


def ledger_rows(action: str, subject: str) -> int | None:
    """Return how many rows an audited change of the ledger covers; ``None`` for other actions."""
    if action not in {CLOSED, FOLDED, EXPIRED}:
        return None
    try:
        return _Change.parse(subject).rows
    except (KeyError, ValueError):  # a row that was tampered with is shown as it is
        return None


class DisclosureLedger:
    """Closes attempts and deletes old disclosures, as jobs. ``years``: 0 keeps them for ever."""

    def __init__(
        self, database: Database, sealer: Sealer, events: EventStore, clock: Clock, years: int
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._events = events
        self._packages = PackageStore(sealer)
        self._clock = clock
        self._years = years
        self._seen: tuple[int, int] | None = None  # highest sequence, and who could be before it

    async def close(self) -> None:
        """Cover the attempts that were stored since the last call, with one audit row."""
        upper = await self._closable()
        async with self._database.read() as connection:
            closed = await _closed(connection)
            if upper <= closed:
                return
            total, count = 0, 0
            last = closed
            while last < upper:
                rows = await _attempts(connection, last, upper)
                if not rows:
                    break
                total += sum(_attempt_hash(self._sealer, row[1]) for row in rows)
                count += len(rows)
                last = rows[-1][0]
            loose = await self._loose_lookups(connection, closed, upper)
        async with self._database.begin() as connection:
            await lock_chain(connection)
            again = await connection.execute(
                select(func.count()).where(
                    attempts.c.sequence > closed, attempts.c.sequence <= upper
                )
            )
            if await _closed(connection) != closed or again.scalar_one() != count:
                return  # another process closed them, or retention deleted some: the next time
            await add_lookups(connection, loose)
            await _note(connection, self._sealer, CLOSED, _Change(total, count, upper), self._now)
            await _store_closed(connection, upper)

    async def expire(self) -> None:
        """Delete folded disclosures, and look-ups of erased packages, that are past their age."""
        if not self._years:
            return
        cutoff_ms = to_epoch_ms(self._now) - int(self._years * _DAYS_A_YEAR * 86_400_000)
        old = disclosures.c.last_at_ms < cutoff_ms
        async with self._database.read() as connection:
            if (
                await connection.execute(select(disclosures.c.id).where(old).limit(1))
            ).first() is None:
                return
        async with self._database.begin() as connection:
            await lock_chain(connection)
            rows = (await connection.execute(READ.where(old).limit(_ROWS_AT_ONCE))).all()
            total = -sum(_disclosure_hash(self._sealer, row) for row in rows)
            ids = [row.id for row in rows]
            await connection.execute(delete(disclosures).where(disclosures.c.id.in_(ids)))
            await connection.execute(
                delete(patient_lookups).where(
                    or_(
                        patient_lookups.c.owner.in_(ids),
                        and_(
                            patient_lookups.c.owner >= "pkg_",
                            patient_lookups.c.owner < first_id("pkg", from_epoch_ms(cutoff_ms)),
                        ),
                    )
                )
            )
            change = _Change(total, len(rows), await _closed(connection))
            await _note(connection, self._sealer, EXPIRED, change, self._now)

    @property
    def _now(self) -> datetime:
        return self._clock.now()

    async def _closable(self) -> int:
        """Return the highest sequence before which no transaction can still store an attempt.

        SQLite has one writer, so that is the highest of all. On PostgreSQL a transaction that
        has its numbers may commit later than one with higher numbers: the highest of the last
        call counts, once everything that was in progress then has ended.
        """
        async with self._database.read() as connection:
            highest = select(func.coalesce(func.max(attempts.c.sequence), 0))
            upper = int((await connection.execute(highest)).scalar_one())
            if self._database.dialect == "sqlite":
                return upper
            snapshot = text(
                "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
                "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            )
            oldest, following = (await connection.execute(snapshot)).one()
        before, self._seen = self._seen, (upper, following)
        return before[0] if before is not None and oldest >= before[1] else 0

    async def _loose_lookups(
        self, connection: AsyncConnection, after: int, upto: int
    ) -> dict[str, list[tuple[str, bytes]]]:
        """Return the look-ups of what the events are about, where it isn't a package."""
        loose = await connection.execute(
            select(attempts.c.event_id)
            .where(
                attempts.c.sequence > after,
                attempts.c.sequence <= upto,
                *(attempts.c.event_type.not_like(f"{kind}.%") for kind in _ABOUT_PACKAGES),
            )
            .distinct()
        )
        found = await self._events.by_id(connection, list(loose.scalars()))
        return {
            event.subject: list(
                self._packages.event_keys(event.account_id, event.subject, event.data).pairs()
            )
            for event in found.values()
            if not event.subject.startswith("pkg_")
        }


async def fold(
    connection: AsyncConnection, sealer: Sealer, which: ColumnElement[bool], now: datetime
) -> None:
    """Fold the attempts that ``which`` matches into disclosures, before retention deletes them."""
    await lock_chain(connection)
    closed = await _closed(connection)
    query = (
        select(
            attempts.c.sequence,
            _COVERED.label("covered"),
            attempts.c.account_id,
            attempts.c.destination_id,
            attempts.c.event_id,
            attempts.c.event_type,
            attempts.c.started_at_ms,
            WAS_SENT.label("sent"),
            deliveries.c.subject,
            events.c.mode,
            events.c.site,
        )
        .select_from(attempts)
        .outerjoin(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .outerjoin(events, events.c.id == attempts.c.event_id)
        .where(which)
    )
    rows: Sequence[Any] = (await connection.execute(query)).all()
    if not rows:
        return
    total = -sum((_attempt_hash(sealer, row.covered) for row in rows if row.sequence <= closed), 0)
    sent = [row for row in rows if row.sent and row.subject is not None]
    keys = await keys_of_subjects(connection, {row.subject for row in sent})
    groups = await _groups(connection, sealer, sent)
    for patient in _by_patient(sent, keys, groups).values():
        total += await _add(connection, sealer, patient, now)
    # SQLite uses a number again when the row with the highest one is gone: what is stored under
    # it then isn't covered yet.
    left = select(func.coalesce(func.max(attempts.c.sequence), 0)).where(not_(which))
    still = min(closed, int((await connection.execute(left)).scalar_one()))
    if still != closed:
        await _store_closed(connection, still)
    await _note(connection, sealer, FOLDED, _Change(total, len(rows), still), now)


async def keep_lookups(connection: AsyncConnection, package_ids: Iterable[str]) -> None:
    """Keep what packages are found by for the audit trail, before they are erased."""
    found = await _indexes_of_packages(connection, sorted(package_ids))
    await add_lookups(connection, found)


async def keys_of_subjects(
    connection: AsyncConnection, subjects: Iterable[str]
) -> dict[str, list[tuple[str, bytes]]]:
    """Return the look-ups of what events are about: packages, erased ones too, and others."""
    wanted = sorted(set(subjects))
    found = await lookups_of(connection, wanted)
    for subject, pairs in (await _indexes_of_packages(connection, wanted)).items():
        found[subject] = sorted({*found.get(subject, ()), *pairs})
    return found


async def verify_ledger(connection: AsyncConnection, sealer: Sealer) -> LedgerCheck:
    """Compare the ledger with what the audit trail says of it."""
    total, closed = 0, 0
    changes = await connection.execute(
        select(audit.c.subject)
        .where(audit.c.action.in_((CLOSED, FOLDED, EXPIRED)))
        .order_by(audit.c.sequence)
    )
    for (subject,) in changes:
        change = _Change.parse(subject)
        total += change.total
        closed = change.closed  # the newest row's
    count, last = 0, 0
    while rows := await _attempts(connection, last, closed):
        total -= sum(_attempt_hash(sealer, row[1]) for row in rows)
        count += len(rows)
        last = rows[-1][0]
    async with connection.stream(READ) as folded:
        async for row in folded:
            total -= _disclosure_hash(sealer, row)
            count += 1
    return LedgerCheck(count, total % _MODULUS == 0)


class _Patient(NamedTuple):
    """What is folded into one row, and its look-ups."""

    key: tuple[Any, ...]
    first_ms: int
    last_ms: int
    times: int
    lookups: frozenset[tuple[str, bytes]]


def _by_patient(
    rows: Sequence[Row[Any]],
    keys: Mapping[str, Sequence[tuple[str, bytes]]],
    groups: Mapping[str, tuple[str, ...]],
) -> dict[tuple[Any, ...], _Patient]:
    found: dict[tuple[Any, ...], _Patient] = {}
    for row in rows:
        pairs = keys.get(row.subject, ())
        named = dict(reversed(pairs))
        identity = named.get("patient") or named.get("name_address") or named.get("rx")
        if identity is None:
            continue
        fields = ",".join(groups.get(row.event_id, ()))
        key = (
            row.account_id, row.mode or "live", row.site, identity, row.destination_id,
            row.event_type, fields,
        )  # fmt: skip
        lookups = frozenset({*pairs, ("package", row.subject.encode())})
        known = found.get(key)
        started = row.started_at_ms
        if known is None:
            found[key] = _Patient(key, started, started, 1, lookups)
        else:
            found[key] = _Patient(
                key,
                min(known.first_ms, started),
                max(known.last_ms, started),
                known.times + 1,
                known.lookups | lookups,
            )
    return found


async def _add(
    connection: AsyncConnection, sealer: Sealer, patient: _Patient, now: datetime
) -> int:
    """Add to the patient's row, or write it; returns by how much the sum of hashes changed."""
    account_id, mode, site, identity, recipient, event_type, fields = patient.key
    same = (
        disclosures.c.account_id == account_id,
        disclosures.c.mode == mode,
        disclosures.c.site.is_not_distinct_from(site),
        disclosures.c.patient == identity,
        disclosures.c.recipient == recipient,
        disclosures.c.event_type == event_type,
        disclosures.c.fields == fields,
    )
    row = (await connection.execute(READ.where(*same))).first()
    values: dict[str, Any]
    if row is None:
        values = {
            "id": new_ids("dis", to_epoch_ms(now), 1)[0],
            "account_id": account_id,
            "mode": mode,
            "site": site,
            "patient": identity,
            "recipient": recipient,
            "event_type": event_type,
            "fields": fields,
            "first_at_ms": patient.first_ms,
            "last_at_ms": patient.last_ms,
            "times": patient.times,
        }
        changed = 0
    else:
        values = {name: getattr(row, name) for name in _FOLDED} | {
            "first_at_ms": min(row.first_at_ms, patient.first_ms),
            "last_at_ms": max(row.last_at_ms, patient.last_ms),
            "times": row.times + patient.times,
        }
        changed = -_disclosure_hash(sealer, row)
    stored = {("count" if name == "times" else name): value for name, value in values.items()}
    await connection.execute(
        insert(disclosures).values(stored)
        if row is None
        else update(disclosures).where(disclosures.c.id == row.id).values(stored)
    )
    await add_lookups(connection, {str(values["id"]): sorted(patient.lookups)})
    return changed + _hash(sealer, [values[name] for name in _FOLDED])


async def _indexes_of_packages(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    columns = {
        "patient": packages.c.patient_index,
        "rx": packages.c.rx_index,
        "phone": packages.c.phone_index,
        "name_address": packages.c.name_index,
    }
    query = select(packages.c.id, *columns.values()).where(among(connection, packages.c.id, ids))
    for row in await connection.execute(query):
        pairs = zip(columns, row[1:], strict=True)
        found[row[0]] = [(name, bytes(value)) for name, value in pairs if value is not None]
    numbers = select(package_prescriptions.c.package_id, package_prescriptions.c.rx_index)
    numbers = numbers.where(among(connection, package_prescriptions.c.package_id, ids))
    for package_id, index in await connection.execute(numbers):
        found.setdefault(package_id, []).append(("rx", bytes(index)))
    return {package_id: sorted(pairs) for package_id, pairs in found.items() if pairs}


_SAMPLES: Final = {each.type: groups_of(each.sample) for each in core_event_types()}


async def _groups(
    connection: AsyncConnection, sealer: Sealer, rows: Sequence[Row[Any]]
) -> dict[str, tuple[str, ...]]:
    """Return the field groups of each event; of an erased one those of its type's sample."""
    found = await EventStore(sealer).by_id(connection, sorted({row.event_id for row in rows}))
    return {
        row.event_id: groups_of(found[row.event_id].data)
        if row.event_id in found and not found[row.event_id].purged
        else _SAMPLES.get(row.event_type, ("identity", "rx"))
        for row in rows
    }


async def _attempts(
    connection: AsyncConnection, after: int, upto: int
) -> Sequence[tuple[int, str]]:
    rows: Any = await connection.execute(
        select(attempts.c.sequence, _COVERED)
        .where(attempts.c.sequence > after, attempts.c.sequence <= upto)
        .order_by(attempts.c.sequence)
        .limit(_ROWS_AT_ONCE)
    )
    found: Sequence[tuple[int, str]] = rows.all()
    return found


async def _closed(connection: AsyncConnection) -> int:
    found = await connection.execute(select(facts.c.value).where(facts.c.name == _CLOSED_FACT))
    return int(found.scalar() or 0)


async def _store_closed(connection: AsyncConnection, closed: int) -> None:
    await connection.execute(delete(facts).where(facts.c.name == _CLOSED_FACT))
    await connection.execute(insert(facts).values(name=_CLOSED_FACT, value=str(closed)))


async def _note(
    connection: AsyncConnection, sealer: Sealer, action: str, change: _Change, now: datetime
) -> None:
    entry = AuditEntry(DEFAULT_ACCOUNT, "gateway", action, str(change), kind="disclose")
    await append(connection, sealer, [entry], now)


def _attempt_hash(sealer: Sealer, covered: str) -> int:
    return int.from_bytes(sealer.ledger_digest(covered.encode()))


def _disclosure_hash(sealer: Sealer, row: Row[Any]) -> int:
    return _hash(sealer, [getattr(row, name) for name in _FOLDED])


def _hash(sealer: Sealer, values: Sequence[Any]) -> int:
    parts = []
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
            continue
        part = bytes(value) if isinstance(value, bytes) else str(value).encode()
        parts.append(len(part).to_bytes(4) + part)
    return int.from_bytes(sealer.ledger_digest(b"".join(parts)))
