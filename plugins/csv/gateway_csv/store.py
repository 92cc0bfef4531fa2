"""The states of imports, kept in the database so that any process can answer.

Reports and rejected rows are sealed; they are deleted some hours after the import.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select, update

from gateway.plugin import (
    Caller,
    Gateway,
    from_epoch_ms,
    isoformat,
    new_id,
    to_epoch_ms,
    visible_to,
)
from gateway_csv.report import Report
from gateway_csv.schema import ImportOut, ProgressOut, State
from gateway_csv.tables import imports, rejected

# An import writes its progress with every chunk; one that is silent for this long has ended.
_SILENCE: Final = timedelta(minutes=2)
_INTERRUPTED: Final = (
    "The gateway was stopped in the middle of the import: send the file again; what was imported "
    "already makes no second package."
)


class Outcome(msgspec.Struct, frozen=True):
    """How an import ended: with a report, or with the reason why there is none."""

    report: ImportOut | None = None
    error: str | None = None


class ImportStore:
    """Reads and writes the states of imports."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def begin(self, caller: Caller, *, dry_run: bool) -> str:
        """Store that an import begins; returns its id."""
        now = self._gateway.clock.now()
        import_id = new_id("imp", now)
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                insert(imports).values(
                    id=import_id,
                    account_id=caller.account_id,
                    mode=caller.mode,
                    site=caller.site,
                    state="running",
                    dry_run=dry_run,
                    **_counts(Report()),
                    started_at_ms=to_epoch_ms(now),
                    updated_at_ms=to_epoch_ms(now),
                )
            )
        return import_id

    async def progress(self, import_id: str, report: Report) -> None:
        """Store how far it is."""
        await self._change(import_id, **_counts(report))

    async def end(self, import_id: str, report: Report | None, error: str | None = None) -> None:
        """Store how it ended: with a report, or with ``error``."""
        outcome = Outcome(None if report is None else report.out(), error)
        sealed = self._gateway.sealer.seal(
            msgspec.json.encode(outcome), table="csv_imports", row_id=import_id
        )
        state: State = "done" if error is None else "failed"
        now_ms = to_epoch_ms(self._gateway.clock.now())
        counts = {} if report is None else _counts(report)
        await self._change(import_id, state=state, outcome=sealed, finished_at_ms=now_ms, **counts)

    async def get(self, caller: Caller, import_id: str) -> ProgressOut | None:
        """Return how far an import is, if it is one that ``caller`` may see."""
        async with self._gateway.database.read() as connection:
            found = await connection.execute(
                select(imports).where(imports.c.id == import_id, *visible_to(caller, imports))
            )
            row = found.first()
        return None if row is None else self._shown(row)

    def _shown(self, row: Any) -> ProgressOut:
        outcome = Outcome()
        if row.outcome is not None:
            opened = self._gateway.sealer.unseal(
                bytes(row.outcome), table="csv_imports", row_id=row.id
            )
            outcome = msgspec.json.decode(opened, type=Outcome)
        silent = from_epoch_ms(row.updated_at_ms) < self._gateway.clock.now() - _SILENCE
        interrupted = row.state == "running" and silent
        finished = row.finished_at_ms
        return ProgressOut(
            import_id=row.id,
            state="interrupted" if interrupted else row.state,
            dry_run=bool(row.dry_run),
            rows=row.rows,
            rows_done=row.rows_done,
            created=row.created,
            duplicates=row.duplicates,
            rejected=row.rejected,
            started_at=isoformat(from_epoch_ms(row.started_at_ms)),
            finished_at=None if finished is None else isoformat(from_epoch_ms(finished)),
            error=_INTERRUPTED if interrupted else outcome.error,
            report=outcome.report,
        )

    async def keep_rejected(self, import_id: str, part: int, text: str) -> None:
        """Keep a part of the file of rejected rows, sealed."""
        sealed = self._gateway.sealer.seal(
            text.encode(), table="csv_rejected", row_id=f"{import_id}:{part}"
        )
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                insert(rejected).values(import_id=import_id, part=part, content=sealed)
            )

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

    async def latest(self) -> str:
        """Return when the latest upload was imported, and its counts, for an operator."""
        query = (
            select(imports)
            .where(imports.c.dry_run.is_(False))
            .order_by(imports.c.updated_at_ms.desc())
            .limit(1)
        )
        async with self._gateway.database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return "no file was uploaded lately"
        return (
            f"last upload {isoformat(from_epoch_ms(row.updated_at_ms))}: {row.state}, "
            f"{row.created} created, {row.duplicates} known, {row.rejected} rejected"
        )

    async def delete_before(self, before: datetime) -> None:
        """Delete imports without progress since ``before``, and their rejected rows."""
        old = select(imports.c.id).where(imports.c.updated_at_ms < to_epoch_ms(before))
        async with self._gateway.database.begin() as connection:
            await connection.execute(delete(rejected).where(rejected.c.import_id.in_(old)))
            await connection.execute(delete(imports).where(imports.c.id.in_(old)))

    async def _change(self, import_id: str, **values: Any) -> None:
        now_ms = to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.id == import_id)
                .values(updated_at_ms=now_ms, **values)
            )


def _counts(report: Report) -> dict[str, int]:
    return {
        "rows": report.rows,
        "rows_done": report.rows_done,
        "created": report.created,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
    }
