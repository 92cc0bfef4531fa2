"""The work on uploads: checks, imports and undos, from a queue that survives a restart.

Two are at work at once in a process, the others wait in the order of their arrival. The lease of
what is at work is short and renewed, so that a killed process's work is taken up again soon: an
import goes on where it was, since its own rows count as its own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    Claimed,
    GatewayError,
    InvalidInput,
    QueueWorker,
    Settlement,
    WorkQueue,
    new_id,
)
from gateway_csv.details import Details
from gateway_csv.jobs import Hooks
from gateway_csv.kept_files import drop_file, open_file
from gateway_csv.read.threads import AT_ONCE
from gateway_csv.report import Report
from gateway_csv.schema import State
from gateway_csv.service import ImportService, Paused, Recorder, sentence_of
from gateway_csv.store import Stored
from gateway_csv.tables import WORK, imports, made_packages, work
from gateway_csv.undo import Undo

_log = logging.getLogger(__name__)

_LEASE_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 5.0
_RENEWAL_SECONDS: Final = 15.0
_FAULT: Final = (
    "The import stopped because of a fault of the gateway: look into its log, then start it "
    "again; what was imported already makes no second package."
)
_NO_FILE: Final = "The file is no longer kept: send it again."
_AT_WORK: Final[tuple[State, ...]] = ("reading", "waiting", "running", "undoing")


class _Stopped(Exception):
    def __init__(self, report: Report) -> None:
        self.report = report


class ImportWork:
    """Does what is in the queue."""

    def __init__(self, service: ImportService) -> None:
        self._service = service
        self._gateway = service.gateway
        self.queue = WorkQueue(WORK, service.gateway, wake=lambda _name: self.worker.wake())
        self.worker: QueueWorker[Claimed] = QueueWorker(
            self._claim,
            self._work,
            self._sweep,
            AT_ONCE,
            grace_seconds=GRACE_SECONDS,
            has_open=partial(self.queue.has_open, or_dead=True),
        )

    async def put(self, connection: AsyncConnection, import_id: str, kind: str) -> None:
        """Queue work on an import, in the transaction that brings it about; then wake."""
        row = {
            "id": new_id("csw", self._gateway.clock.now()),
            "subject": import_id,
            "kind": kind,
        }
        await self.queue.put(connection, [row])

    async def _claim(self, limit: int) -> list[Claimed]:
        return await self.queue.claim(limit, _LEASE_SECONDS)

    async def _sweep(self) -> None:
        """Let lost work be taken up again; fail the imports whose work is given up."""
        await self.queue.sweep()
        query = (
            select(imports.c.id)
            .join(work, work.c.subject == imports.c.id)
            .where(work.c.state == "dead", imports.c.state.in_(_AT_WORK))
        )
        async with self._gateway.database.read() as connection:
            given_up = (await connection.execute(query)).scalars().all()
        for import_id in given_up:
            await self._service.store.end(import_id, None, _FAULT)
            async with self._gateway.database.begin() as connection:
                await connection.execute(
                    delete(work).where(work.c.subject == import_id, work.c.state == "dead")
                )

    async def _work(self, item: Claimed) -> None:
        async with self._renewed(item) as is_held:
            settlement = await self._attempt(item)
        if is_held():
            await self.queue.finish(settlement)

    @asynccontextmanager
    async def _renewed(self, item: Claimed) -> AsyncIterator[Any]:
        """Renew the lease while the block runs; end the block when it is another process's."""
        working = asyncio.current_task()
        lost = False

        async def renew() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(_RENEWAL_SECONDS)
                with suppress(GatewayError):  # an outage: the lease may hold until it is over
                    if not await self.queue.renew(item, _LEASE_SECONDS):
                        lost = True
                        if working is not None:
                            working.cancel()
                        return

        renewal = asyncio.create_task(renew())
        try:
            yield lambda: not lost
        finally:
            renewal.cancel()

    async def _attempt(self, item: Claimed) -> Settlement:
        import_id, kind = item.row.subject, item.row.kind
        found = await self._service.store.read(import_id)
        if found is None or found.details is None:
            return item.done("gone")
        work_on = {"check": self._check, "import": self._import, "undo": self._undo}[kind]
        try:
            return item.done(await work_on(found, found.details))
        except Exception as error:  # noqa: BLE001 - one file's fault must not stop the others
            if self._gateway.stopping.is_set():
                return item.release()
            is_last = item.attempts >= (WORK.max_attempts or 1)
            # What a file is refused for isn't the database's, and the same the next time.
            is_final = isinstance(error, InvalidInput) or not _is_passing(error)
            reason = type(error).__name__
            _log.error("%s of %s failed: %s", kind, import_id, reason)
            if is_final or is_last:
                text = sentence_of(error) if isinstance(error, GatewayError) else _FAULT
                await self._service.store.end(import_id, None, text)
                return item.done(reason)
            return item.retry(reason)

    async def _check(self, found: Stored, details: Details) -> str:
        store, gateway = self._service.store, self._gateway
        file = await open_file(gateway, found.id)
        if file is None:
            await store.end(found.id, None, _NO_FILE)
            return "no_file"
        await store.drop_rejected(found.id)
        recorder = Recorder(store, found.id)
        job = details.options.job(found.id, details.asker.caller(), dry_run=True)
        importer = await self._service.importer()
        from gateway_csv.checking import Check  # as the importer: with the first file

        check = Check(importer, job)
        report = await check.run(file, Hooks(self._unless_stopping(recorder), recorder.rejected))
        seen = replace(
            details,
            understood=check.understood,
            question=check.question,
            repairs=check.repairs,
            broken=list(check.broken.values()),
        )
        await store.end(found.id, report, state="read", details=seen)
        return "read"

    async def _import(self, found: Stored, details: Details) -> str:
        store, gateway = self._service.store, self._gateway
        file = await open_file(gateway, found.id)
        if file is None:
            await store.end(found.id, None, _NO_FILE)
            return "no_file"
        is_resumed = found.state == "running" or await self._has_made(found.id)
        async with gateway.database.begin() as connection:
            before: tuple[State, ...] = ("waiting", "running")
            if not await store.move(connection, found.id, before, "running"):
                return "gone"
        await store.drop_rejected(found.id)
        recorder = Recorder(store, found.id)
        hooks = Hooks(
            self._unless_stopping(recorder, may_stop=True), recorder.rejected, recorder.made
        )
        job = details.options.job(found.id, details.asker.caller(), dry_run=False)
        try:
            importer = await self._service.importer()
            report = await importer.run(file, job._replace(is_resumed=is_resumed), hooks)
        except _Stopped as stopped:
            await store.end(found.id, stopped.report, state="stopped")
            return "stopped"
        # Nothing of it is needed any more in clear, but what was rejected.
        kept = replace(details, understood=None, broken=[])
        await store.end(found.id, report, details=kept)
        await drop_file(gateway, found.id)
        return "done"

    async def _undo(self, found: Stored, details: Details) -> str:
        caller = (details.undo_by or details.asker).caller()
        await Undo(self._gateway, found, caller).run()
        await self._service.store.set_values(found.id, state="undone")
        return "undone"

    def _unless_stopping(self, recorder: Recorder, *, may_stop: bool = False) -> Any:
        """Return a hook that records progress, and ends the work where it is to end."""

        async def progress(report: Report) -> None:
            stop_asked = await recorder.progress(report)
            if self._gateway.stopping.is_set():
                raise Paused
            if stop_asked and may_stop:
                raise _Stopped(report)

        return progress

    async def _has_made(self, import_id: str) -> bool:
        query = select(made_packages.c.package_id).where(made_packages.c.import_id == import_id)
        async with self._gateway.database.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None


def _is_passing(error: Exception) -> bool:
    """Return whether a fault may be the database's or the disk's, which come back."""
    is_ours = isinstance(error, GatewayError | OSError)
    return is_ours or type(error).__module__.startswith("sqlalchemy")
