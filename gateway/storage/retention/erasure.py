"""Erase and delete rows at their age, and the rows that belong to them.

Every function works on rows that a step of :mod:`gateway.storage.retention.policy` found,
in that step's transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import Caller
from gateway.model.order import Order
from gateway.model.package import TERMINAL
from gateway.model.submission import ErasureResult
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.files.store import delete_files, delete_files_of
from gateway.storage.plugin_tables import Unresolved
from gateway.storage.schema import (
    FINISHED,
    attempts,
    deliveries,
    events,
    files,
    idempotency,
    packages,
)
from gateway.storage.stores.bag_numbers import delete_numbers
from gateway.storage.stores.disclosures import fold, keep_lookups
from gateway.storage.tenancy import visible_to

_NO_ORDER: Final = msgspec.json.encode(Order(patient_name="", patient_address=""))
_NO_DATA: Final = b"{}"

Rows = Sequence[Row[Any]]
_LONG_AGO: Final = from_epoch_ms(0)


@dataclass(frozen=True, slots=True)
class StepContext:
    """The transaction of a step. A rehearsal locks and changes nothing.

    ``unresolved`` are the plugins' functions that return their unfinished subjects.
    """

    connection: AsyncConnection
    sealer: Sealer
    cutoff_ms: int
    rehearsal: bool
    unresolved: Sequence[Unresolved] = ()
    now: datetime = _LONG_AGO
    """For the audit trail."""
    proof_cutoffs_ms: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By account and site: packages that finished later keep their proofs."""


async def erasable_packages(context: StepContext, rows: Rows) -> Rows:
    """Leave out packages with a pending delivery, and those created after the cutoff.

    A report may give a new package an end long ago.
    """
    ids = [row.id for row in rows]
    if not context.rehearsal and context.connection.dialect.name == "postgresql":
        # A resend locks the event first (outbox.refuse_erased), and waits for this transaction.
        locked = select(events.c.sequence).where(events.c.subject.in_(ids))
        await context.connection.execute(locked.order_by(events.c.sequence).with_for_update())
    under_way = await context.connection.execute(
        select(events.c.account_id, events.c.subject)
        .join(deliveries, deliveries.c.event_id == events.c.id)
        .where(events.c.subject.in_(ids), deliveries.c.state == "pending")
        .distinct()
    )
    busy = {tuple(row) for row in under_way}
    return [
        row
        for row in rows
        if row.created_at_ms < context.cutoff_ms and (row.account_id, row.id) not in busy
    ]


async def erasable_events(context: StepContext, rows: Rows) -> Rows:
    """Leave out unfinished events, and late ones whose package isn't erased yet."""
    return await _left(context, rows, packages.c.purged == false())


async def deletable_events(context: StepContext, rows: Rows) -> Rows:
    """Leave out unfinished events, and late ones whose package still exists."""
    return await _left(context, rows, true())


async def _left(context: StepContext, rows: Rows, unless: ColumnElement[bool]) -> Rows:
    """Leave out events with a pending delivery, or about an unfinished subject."""
    sent = await context.connection.execute(
        select(deliveries.c.event_id).where(
            deliveries.c.event_id.in_([row.id for row in rows]), deliveries.c.state == "pending"
        )
    )
    busy = set(sent.scalars())
    late = {(row.account_id, row.subject) for row in rows if row.late}
    theirs = await context.connection.execute(
        select(packages.c.account_id, packages.c.id).where(
            tuple_(packages.c.account_id, packages.c.id).in_(late), unless
        )
    )
    belonging = {tuple(row) for row in theirs}
    unfinished: set[str] = set()
    for find in context.unresolved:
        unfinished.update(await find(context.connection, {row.subject for row in rows}))
    return [
        row
        for row in rows
        if row.id not in busy
        and row.subject not in unfinished
        and (row.account_id, row.subject) not in belonging
    ]


async def deletable_attempts(context: StepContext, rows: Rows) -> Rows:
    """Leave out the attempts of pending deliveries."""
    found = await context.connection.execute(
        select(deliveries.c.id).where(
            tuple_(deliveries.c.account_id, deliveries.c.id).in_(
                {(row.account_id, row.delivery_id) for row in rows}
            ),
            deliveries.c.state == "pending",
        )
    )
    busy = set(found.scalars())
    return [row for row in rows if row.delivery_id not in busy]


async def all_rows(_context: StepContext, rows: Rows) -> Rows:
    """Leave out nothing."""
    return rows


async def erase_packages(context: StepContext, rows: Rows) -> None:
    """Erase packages, their events, and the receivers' responses to these."""
    about = _about(rows)
    full: Select[Any] = select(events.c.sequence, events.c.id).where(
        about, events.c.purged == false()
    )
    await _erase(context, list(await context.connection.execute(full)), about)
    await keep_lookups(context.connection, [row.id for row in rows])
    await context.connection.execute(
        update(packages)
        .where(packages.c.account_id == bindparam("account"), packages.c.id == bindparam("key"))
        .values(
            payload=bindparam("nothing"),
            purged=true(),
            rx_index=None,
            phone_index=None,
            patient_index=None,
            delivery_day=None,
            priority=None,
            driver_id=None,
            flags=0,
            name_index=None,
        ),
        [
            {
                "account": row.account_id,
                "key": row.id,
                "nothing": context.sealer.seal(_NO_ORDER, table="packages", row_id=row.id),
            }
            for row in rows
        ],
    )
    await delete_numbers(context.connection, [(row.account_id, row.id) for row in rows])


async def erase_events(context: StepContext, rows: Rows) -> None:
    """Erase events, and the receivers' responses to them."""
    await _erase(context, rows, events.c.id.in_([row.id for row in rows]))


async def _erase(context: StepContext, rows: Rows, which: ColumnElement[bool]) -> None:
    """Erase ``rows``, and the receivers' responses to any of ``which``."""
    if rows:
        await context.connection.execute(
            update(events)
            .where(events.c.sequence == bindparam("key"))
            .values(data=bindparam("nothing"), purged=true()),
            [
                {
                    "key": row.sequence,
                    "nothing": context.sealer.seal(_NO_DATA, table="events", row_id=row.id),
                }
                for row in rows
            ],
        )
    await context.connection.execute(
        update(attempts)
        .where(attempts.c.delivery_id.in_(_sent(which)), attempts.c.excerpt.is_not(None))
        .values(excerpt=None)
    )


async def delete_packages(context: StepContext, rows: Rows) -> None:
    """Delete packages with their files, events, deliveries and attempts."""
    await delete_files_of(context.connection, {(row.account_id, row.id) for row in rows})
    await _delete(context, _about(rows))
    await context.connection.execute(
        delete(packages).where(
            packages.c.account_id == bindparam("account"), packages.c.id == bindparam("key")
        ),
        [{"account": row.account_id, "key": row.id} for row in rows],
    )
    await delete_numbers(context.connection, [(row.account_id, row.id) for row in rows])


async def delete_events(context: StepContext, rows: Rows) -> None:
    """Delete events with their deliveries and attempts."""
    await _delete(context, events.c.id.in_([row.id for row in rows]))


async def _delete(context: StepContext, which: ColumnElement[bool]) -> None:
    about = attempts.c.delivery_id.in_(_sent(which))
    await fold(context.connection, context.sealer, about, context.now)
    await context.connection.execute(delete(attempts).where(about))
    ids = select(events.c.id).where(which)
    await context.connection.execute(delete(deliveries).where(deliveries.c.event_id.in_(ids)))
    await context.connection.execute(delete(events).where(which))


async def deletable_files(context: StepContext, rows: Rows) -> Rows:
    """Leave out files of packages that aren't finished for so long, or have a pending delivery.

    Plugins delete the files of their own subjects.
    """
    subjects = {(row.account_id, row.subject) for row in rows}
    query: Select[Any] = select(
        packages.c.id, packages.c.account_id, packages.c.created_at_ms
    ).where(
        tuple_(packages.c.account_id, packages.c.id).in_(sorted(subjects)),
        text(FINISHED),
        packages.c.status_at_ms < context.cutoff_ms,
    )
    if context.proof_cutoffs_ms:
        query = query.where(not_(_is_kept(context, packages, packages.c.status_at_ms)))
    free = await erasable_packages(context, list(await context.connection.execute(query)))
    over = {(row.account_id, row.id) for row in free}
    return [row for row in rows if (row.account_id, row.subject) in over]


def files_kept_by_place(context: StepContext) -> ColumnElement[bool]:
    """Match files that the rules of their site's place keep; packages are deleted after them."""
    return _is_kept(context, files, files.c.created_at_ms)


def packages_with_kept_proof(context: StepContext) -> ColumnElement[bool]:
    """Match packages with a file that the rules of their site's place keep."""
    has_file = exists().where(
        files.c.subject == packages.c.id, files.c.account_id == packages.c.account_id
    )
    return and_(_is_kept(context, packages, packages.c.status_at_ms), has_file)


def _is_kept(context: StepContext, table: Table, at_ms: ColumnElement[int]) -> ColumnElement[bool]:
    """Match rows of sites whose place requires proofs for longer than since ``at_ms``."""
    # with NULL, the condition would be neither true nor false
    code = func.coalesce(table.c.site, "")
    return or_(
        false(),
        *(
            and_(
                table.c.account_id == account,
                table.c.mode == "live",
                code == site,
                at_ms >= cutoff_ms,
            )
            for (account, site), cutoff_ms in context.proof_cutoffs_ms.items()
        ),
    )


async def delete_old_files(context: StepContext, rows: Rows) -> None:
    """Delete files."""
    await delete_files(context.connection, [(row.account_id, row.id) for row in rows])


async def delete_attempts(context: StepContext, rows: Rows) -> None:
    """Delete attempts."""
    gone = attempts.c.sequence.in_([row.sequence for row in rows])
    await fold(context.connection, context.sealer, gone, context.now)
    await context.connection.execute(delete(attempts).where(gone))


async def delete_responses(context: StepContext, rows: Rows) -> None:
    """Delete stored responses past their time."""
    key = tuple_(idempotency.c.account_id, idempotency.c.key_digest)
    gone = key.in_([(row.account_id, row.key_digest) for row in rows])
    await context.connection.execute(delete(idempotency).where(gone))


def _about(rows: Rows) -> ColumnElement[bool]:
    """Match the events of these packages."""
    accounts = {row.account_id for row in rows}
    return events.c.subject.in_([row.id for row in rows]) & events.c.account_id.in_(accounts)


def _sent(which: ColumnElement[bool]) -> Select[Any]:
    ids = select(events.c.id).where(which)
    return select(deliveries.c.id).where(deliveries.c.event_id.in_(ids))


_SOON_MS = 1  # a package created up to this time may be erased


async def erase_finished(
    connection: AsyncConnection,
    sealer: Sealer,
    caller: Caller,
    package_ids: Collection[str],
    now: datetime,
) -> ErasureResult:
    """Erase the finished ones of ``package_ids``; an erased one counts as done."""
    query = (
        select(packages)
        .where(*visible_to(caller, packages), packages.c.id.in_(sorted(package_ids)))
        .order_by(packages.c.id)
        .with_for_update()
    )
    rows = list(await connection.execute(query))
    context = StepContext(connection, sealer, to_epoch_ms(now) + _SOON_MS, rehearsal=False, now=now)
    full = [row for row in rows if row.status in TERMINAL and not row.purged]
    free = await erasable_packages(context, full) if full else []
    if free:
        await erase_packages(context, free)
        await delete_files_of(connection, {(row.account_id, row.id) for row in free})
    erased = {row.id for row in free} | {row.id for row in rows if row.purged}
    kept = dict.fromkeys(package_ids, "unknown")
    kept |= {row.id: "under_way" for row in rows}
    kept |= {row.id: "still_told" for row in full}
    return ErasureResult(
        tuple(sorted(erased)),
        {each: reason for each, reason in sorted(kept.items()) if each not in erased},
    )
