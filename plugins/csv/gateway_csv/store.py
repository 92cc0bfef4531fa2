"""The states of imports, kept in the database so that any process can answer.

Reports, details and rejected rows are sealed; all are deleted some hours after the last change.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    Caller,
    Change,
    Gateway,
    Transaction,
    from_epoch_ms,
    isoformat,
    new_id,
    note_changes,
    to_epoch_ms,
    visible_to,
)
from gateway_csv.details import Details
from gateway_csv.jobs import Made
from gateway_csv.report import Report
from gateway_csv.schema import ImportItem, ImportOut, Origin, ProgressOut, State
from gateway_csv.tables import (
    files,
    imports,
    insert_unless_known,
    made_packages,
    rejected,
    work,
)

# An import writes its progress with every chunk; one without progress for this long has ended.
_SILENCE: Final = timedelta(minutes=2)
_MADE: Final = ("import_id", "package_id", "row_keys")
# States that only the running process can finish; the others are continued after a restart.
_ENDS_WITH_PROCESS: Final = frozenset({"request", "cli"})
_INTERRUPTED: Final = (
    "The gateway was stopped in the middle of the import: send the file again; what was imported "
    "already makes no second package."
)


class Outcome(msgspec.Struct, frozen=True):
    """The result of an import: a report, or the reason why there is none."""

    report: ImportOut | None = None
    error: str | None = None


class Stored(NamedTuple):
    """A stored import, unsealed."""

    id: str
    account_id: str
    state: State
    origin: Origin
    started_at: datetime
    outcome: Outcome
    details: Details | None
    row: Any


class ImportStore:
    """Reads and writes the states of imports."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def begin(
        self,
        caller: Caller,
        *,
        dry_run: bool,
        origin: Origin = "request",
        state: State = "running",
        site: str | None = None,
        import_id: str | None = None,
        details: Details | None = None,
    ) -> str:
        """Store that an import begins; returns its id. An existing row isn't changed.

        ``site`` is that of all its rows, which a caller of some sites has to see.
        """
        now = self._gateway.clock.now()
        key = import_id or new_id("imp", now)
        values = {
            "id": key,
            "account_id": caller.account_id,
            "mode": caller.mode,
            "site": caller.site or (None if caller.sites is None else site),
            "state": state,
            "dry_run": dry_run,
            "origin": origin,
            "details": None if details is None else self._sealed(key, details),
            **_counts(Report()),
            "started_at_ms": to_epoch_ms(now),
            "updated_at_ms": to_epoch_ms(now),
        }
        async with self._gateway.database.begin() as connection:
            await insert_unless_known(connection, imports, tuple(values), [tuple(values.values())])
            await self.note_change(connection, key)
        return key

    def _sealed(self, import_id: str, value: msgspec.Struct) -> bytes:
        return self._gateway.sealer.seal(
            msgspec.json.encode(value), table="csv_imports", row_id=import_id
        )

    async def progress(self, import_id: str, report: Report) -> bool:
        """Store the progress; returns whether a person requested a stop."""
        now_ms = to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.begin() as connection:
            asked = await connection.execute(
                update(imports)
                .where(imports.c.id == import_id)
                .values(updated_at_ms=now_ms, **_counts(report))
                .returning(imports.c.stop_asked)
            )
            is_asked = bool(asked.scalar())
            await self.note_change(connection, import_id)
        return is_asked

    async def end(
        self,
        import_id: str,
        report: Report | None,
        error: str | None = None,
        *,
        state: State | None = None,
        details: Details | None = None,
    ) -> None:
        """Store the result: a report, or ``error``."""
        outcome = Outcome(None if report is None else report.out(), error)
        now_ms = to_epoch_ms(self._gateway.clock.now())
        values: dict[str, Any] = {} if report is None else _counts(report)
        if details is not None:
            values["details"] = self._sealed(import_id, details)
        await self._change(
            import_id,
            state=state or ("done" if error is None else "failed"),
            outcome=self._sealed(import_id, outcome),
            finished_at_ms=None if state == "read" else now_ms,
            stop_asked=False,
            **values,
        )

    async def move(
        self,
        connection: AsyncConnection,
        import_id: str,
        before: Collection[State],
        after: State,
        **values: Any,
    ) -> bool:
        """Change the state of an import that is in one of ``before``; returns whether it was."""
        details = values.pop("details", None)
        if details is not None:
            values["details"] = self._sealed(import_id, details)
        now_ms = to_epoch_ms(self._gateway.clock.now())
        moved = await connection.execute(
            update(imports)
            .where(imports.c.id == import_id, imports.c.state.in_(sorted(before)))
            .values(state=after, updated_at_ms=now_ms, **values)
        )
        await self.note_change(connection, import_id)
        return bool(moved.rowcount)

    async def note_change(self, connection: AsyncConnection, import_id: str) -> None:
        """Note in the caller's transaction, as its last step, that an import changed."""
        columns = imports.c.account_id, imports.c.mode, imports.c.site
        found = await connection.execute(select(*columns).where(imports.c.id == import_id))
        row = found.first()
        if row is not None:
            change = Change("imports", row.account_id, row.mode, row.site, [import_id])
            await note_changes(connection, [change], self._gateway.clock.now())

    async def set_values(self, import_id: str, **values: Any) -> None:
        """Set columns of an import."""
        await self._change(import_id, **values)

    async def note_rejected_seen(self, import_id: str) -> None:
        """Record that the rejected rows were downloaded: they need no attention any more."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.id == import_id, imports.c.rejected_seen_at_ms.is_(None))
                .values(rejected_seen_at_ms=to_epoch_ms(self._gateway.clock.now()))
            )

    async def read(self, import_id: str, caller: Caller | None = None) -> Stored | None:
        """Return an import that ``caller`` may see; without a caller, one of any account."""
        query = select(imports).where(imports.c.id == import_id)
        if caller is not None:
            query = query.where(*visible_to(caller, imports))
        async with self._gateway.database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else self._opened(row)

    async def page(
        self, caller: Caller, limit: int, before_id: str | None = None
    ) -> list[ImportItem]:
        """Return up to ``limit`` imports, the newest first."""
        query = select(imports).where(*visible_to(caller, imports))
        if before_id is not None:
            query = query.where(imports.c.id < before_id)
        async with self._gateway.database.read() as connection:
            rows = await connection.execute(query.order_by(imports.c.id.desc()).limit(limit))
            return [_item(self._opened(row)) for row in rows]

    async def get(self, caller: Caller, import_id: str) -> ProgressOut | None:
        """Return the progress of an import that ``caller`` may see."""
        found = await self.read(import_id, caller)
        return None if found is None else progress_of(found)

    def _opened(self, row: Any) -> Stored:
        origin: Origin = row.origin or "request"
        silent = from_epoch_ms(row.updated_at_ms) < self._gateway.clock.now() - _SILENCE
        has_ended = row.state == "running" and silent and origin in _ENDS_WITH_PROCESS
        return Stored(
            id=row.id,
            account_id=row.account_id,
            state="interrupted" if has_ended else row.state,
            origin=origin,
            started_at=from_epoch_ms(row.started_at_ms),
            outcome=self._unsealed(row.id, row.outcome, Outcome) or Outcome(),
            details=self._unsealed(row.id, row.details, Details),
            row=row,
        )

    def _unsealed(self, import_id: str, sealed: Any, into: type[Any]) -> Any:
        if sealed is None:
            return None
        opened = self._gateway.sealer.unseal(bytes(sealed), table="csv_imports", row_id=import_id)
        return msgspec.json.decode(opened, type=into)

    async def keep_rejected(self, import_id: str, part: int, text: str) -> None:
        """Store a part of the file of rejected rows, sealed."""
        sealed = self._gateway.sealer.seal(
            text.encode(), table="csv_rejected", row_id=f"{import_id}:{part}"
        )
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                insert(rejected).values(import_id=import_id, part=part, content=sealed)
            )

    async def drop_rejected(self, import_id: str) -> None:
        """Delete the rejected rows of an earlier attempt or check."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(delete(rejected).where(rejected.c.import_id == import_id))

    async def rejected_parts(self, import_id: str) -> AsyncIterator[bytes]:
        """Yield the file of rejected rows, part by part."""
        part = 0
        while True:
            async with self._gateway.database.read() as connection:
                sealed = await connection.scalar(
                    select(rejected.c.content).where(
                        rejected.c.import_id == import_id, rejected.c.part == part
                    )
                )
            if sealed is None:
                return
            yield self._gateway.sealer.unseal(
                bytes(sealed), table="csv_rejected", row_id=f"{import_id}:{part}"
            )
            part += 1

    async def latest(self) -> tuple[State, dict[str, object]] | None:
        """Return the state of the latest upload, and when it was imported with its counts."""
        query = (
            select(imports)
            .where(
                imports.c.dry_run.is_(False),
                func.coalesce(imports.c.origin, "request").in_(("request", "upload")),
            )
            .order_by(imports.c.updated_at_ms.desc())
            .limit(1)
        )
        async with self._gateway.database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return row.state, {
            "at": from_epoch_ms(row.updated_at_ms),
            "created": row.created,
            "duplicates": row.duplicates,
            "rejected": row.rejected,
        }

    async def keep_made(self, import_id: str, made: Sequence[Made]) -> None:
        """Record the packages that an import made; already recorded ones aren't changed."""
        rows = [(import_id, each.package_id, b"".join(each.keys)) for each in made]

        async def keep(transaction: Transaction) -> None:
            await insert_unless_known(transaction, made_packages, _MADE, rows)

        await self._gateway.database.transact(keep)

    async def with_rejected(self, caller: Caller) -> Sequence[Any]:
        """Return imports with rejected rows that were not downloaded yet."""
        query = select(imports.c.id, imports.c.rejected, imports.c.finished_at_ms, imports.c.site)
        async with self._gateway.database.read() as connection:
            return (
                await connection.execute(
                    query.where(
                        *visible_to(caller, imports),
                        imports.c.state.in_(("done", "stopped")),
                        imports.c.dry_run.is_(False),
                        imports.c.rejected > 0,
                        imports.c.rejected_seen_at_ms.is_(None),
                    ).order_by(imports.c.id)
                )
            ).all()

    async def delete_before(self, before: datetime) -> None:
        """Delete imports without progress since ``before``, with all their data."""
        old = select(imports.c.id).where(imports.c.updated_at_ms < to_epoch_ms(before))
        async with self._gateway.database.begin() as connection:
            for table in (rejected, files, made_packages):
                await connection.execute(delete(table).where(table.c.import_id.in_(old)))
            await connection.execute(delete(work).where(work.c.subject.in_(old)))
            await connection.execute(delete(imports).where(imports.c.id.in_(old)))

    async def delete(self, connection: AsyncConnection, import_id: str) -> None:
        """Delete an import with all its data."""
        for table in (rejected, files, made_packages):
            await connection.execute(delete(table).where(table.c.import_id == import_id))
        await connection.execute(delete(work).where(work.c.subject == import_id))
        await connection.execute(delete(imports).where(imports.c.id == import_id))

    async def waiting_before(self, import_id: str) -> int:
        """Count the imports whose work is queued or running before this one's."""
        mine = select(work.c.sequence).where(work.c.subject == import_id, work.c.state == "waiting")
        query = select(func.count(func.distinct(work.c.subject))).where(
            work.c.state == "waiting",
            work.c.subject != import_id,
            work.c.sequence < mine.limit(1).scalar_subquery(),
        )
        async with self._gateway.database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def _change(self, import_id: str, **values: Any) -> None:
        now_ms = to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.id == import_id)
                .values(updated_at_ms=now_ms, **values)
            )
            await self.note_change(connection, import_id)


def progress_of(found: Stored) -> ProgressOut:
    """Return the progress of an import."""
    row, finished = found.row, found.row.finished_at_ms
    return ProgressOut(
        import_id=found.id,
        state=found.state,
        dry_run=bool(row.dry_run),
        rows=row.rows,
        rows_done=row.rows_done,
        created=row.created,
        duplicates=row.duplicates,
        rejected=row.rejected,
        started_at=isoformat(found.started_at),
        finished_at=None if finished is None else isoformat(from_epoch_ms(finished)),
        error=_INTERRUPTED if found.state == "interrupted" else found.outcome.error,
        report=found.outcome.report,
    )


def _item(found: Stored) -> ImportItem:
    row, finished = found.row, found.row.finished_at_ms
    return ImportItem(
        import_id=found.id,
        state=found.state,
        origin=found.origin,
        file_name=None if found.details is None else found.details.file_name,
        dry_run=bool(row.dry_run),
        rows=row.rows,
        rows_done=row.rows_done,
        created=row.created,
        duplicates=row.duplicates,
        rejected=row.rejected,
        undone=row.undone or 0,
        started_at=isoformat(found.started_at),
        finished_at=None if finished is None else isoformat(from_epoch_ms(finished)),
    )


def no_counts() -> dict[str, int]:
    """Return the columns of an import that has not begun."""
    return _counts(Report())


def _counts(report: Report) -> dict[str, int]:
    return {
        "rows": report.rows,
        "rows_done": report.rows_done,
        "created": report.created,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "repeated": report.repeated,
        "bagged": report.bagged,
        "skipped": report.skipped,
    }
