"""An import in steps: upload, check, correct, start, stop, undo."""

import asyncio
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from msgspec import UNSET
from msgspec.structs import replace

from gateway.plugin import (
    AuditEntry,
    Caller,
    Conflict,
    InvalidInput,
    NotFound,
    Problem,
)
from gateway_csv.check_schema import CellChange, CheckChange, CheckOut, SamplesOut
from gateway_csv.columns.column_mappings import checked, checked_sender
from gateway_csv.details import Asker, Details, Options
from gateway_csv.jobs import check_site
from gateway_csv.kept_files import keep_file
from gateway_csv.read.encoding import NAMED
from gateway_csv.schema import ImportsOut, ProgressOut, State, UndoOut
from gateway_csv.service import ImportService
from gateway_csv.store import Stored, no_counts, progress_of
from gateway_csv.undo import Undo
from gateway_csv.work import ImportWork

MOST_CELLS: Final = 2000
_POLL_SECONDS: Final = (0.02, 0.05, 0.1, 0.2)
_LETTERS: Final = 26
_NAME_CHARACTERS: Final = 120
_CORRECTABLE: Final[tuple[State, ...]] = ("read", "failed")
_STARTABLE: Final[tuple[State, ...]] = ("read", "stopped", "failed")
_UNDOABLE: Final[tuple[State, ...]] = ("done", "stopped", "failed", "interrupted", "undone")
_BUSY: Final = "The import is at work: wait until it has ended, or stop it."


class ImportSteps:
    """The service of imports in steps."""

    def __init__(self, service: ImportService, work: ImportWork, wait_seconds: float = 5.0) -> None:
        self._service = service
        self._gateway = service.gateway
        self._work = work
        self._wait_seconds = wait_seconds

    async def upload(
        self, caller: Caller, file: BinaryIO, name: str | None, options: Options
    ) -> CheckOut:
        """Store a file and check it; returns the check, or its progress after some seconds.

        Raises ``InvalidInput`` for invalid options.
        """
        self._check_options(caller, options)
        store = self._service.store
        details = Details(
            asker=Asker.of(caller),
            file_name=None if not name else name[-_NAME_CHARACTERS:],
            options=options,
        )
        import_id = await store.begin(
            caller,
            dry_run=True,
            origin="upload",
            state="reading",
            site=options.site,
            details=details,
        )
        size = await keep_file(self._gateway, import_id, file)
        await self._queue_check(import_id, ("reading",), replace(details, file_bytes=size))
        return await self._checked(caller, import_id)

    async def check(self, caller: Caller, import_id: str) -> CheckOut:
        """Return the check of an upload as it is now."""
        found = await self._visible(caller, import_id)
        details = _steps_of(found)
        is_new = found.state != "reading"
        return details.check_out(found.id, found.state, found.outcome.report if is_new else None)

    async def correct(self, caller: Caller, import_id: str, change: CheckChange) -> CheckOut:
        """Change the options of a file, and check it again."""
        found = await self._visible(caller, import_id)
        details = _steps_of(found)
        if found.state not in _CORRECTABLE or not found.row.dry_run:
            raise Conflict("Only a file that was not imported yet can be corrected.")
        options = _changed(details.options, change)
        self._check_options(caller, options)
        changed = replace(details, options=options, asker=Asker.of(caller))
        await self._queue_check(import_id, _CORRECTABLE, changed)
        return await self._checked(caller, import_id)

    async def samples(self, caller: Caller, import_id: str) -> SamplesOut:
        """Return samples and broken rows in full; the view is audited before."""
        found = await self._visible(caller, import_id)
        out = _steps_of(found).samples_out(found.id)
        fields = ("contact", "identity", "rx")
        entry = AuditEntry.by(caller, "reveal", "import.revealed", found.id, fields=fields)
        await self._gateway.audit.note([entry])
        return out

    async def start(self, caller: Caller, import_id: str) -> ProgressOut:
        """Import a checked file, or continue a stopped import."""
        found = await self._visible(caller, import_id)
        details = _steps_of(found)
        if found.state not in _STARTABLE:
            raise Conflict(_BUSY if found.state != "done" else "The file was imported already.")
        report = found.outcome.report
        if found.row.dry_run and (details.question is not None or report is None):
            raise Conflict("The file is refused as it is: answer the question of its check first.")
        if found.row.dry_run and report is not None and not report.created:
            raise Conflict("There is nothing to import: no row would make a package.")
        changed = replace(details, asker=Asker.of(caller))
        await self._queue(
            import_id,
            _STARTABLE,
            "waiting",
            "import",
            details=changed,
            dry_run=False,
            outcome=None,
            finished_at_ms=None,
            stop_asked=False,
            **{**no_counts(), "rows": found.row.rows},
        )
        return progress_of(await self._visible(caller, import_id))

    async def stop(self, caller: Caller, import_id: str) -> ProgressOut:
        """Stop an import after the rows that are being stored; imported rows stay.

        An ended import isn't changed.
        """
        found = await self._visible(caller, import_id)
        if found.state not in {"waiting", "running"}:
            return progress_of(found)
        if found.origin != "upload":
            raise Conflict("Only an import in steps can be stopped.")
        await self._service.store.set_values(import_id, stop_asked=True)
        return progress_of(await self._visible(caller, import_id))

    async def discard(self, caller: Caller, import_id: str) -> None:
        """Delete an upload that was not imported."""
        found = await self._visible(caller, import_id)
        if not found.row.dry_run or found.state not in _CORRECTABLE:
            raise Conflict("Only a file that was not imported yet can be discarded.")
        async with self._gateway.database.begin() as connection:
            await self._service.store.delete(connection, found.id)

    async def undo(self, caller: Caller, import_id: str, *, dry_run: bool) -> UndoOut:
        """Return the effect of an undo; unless it is a dry run, begin it."""
        found = await self._visible(caller, import_id)
        if found.row.dry_run or found.state not in {*_UNDOABLE, "undoing"}:
            raise Conflict("There is nothing to undo: the file was not imported, or still is.")
        standing = await Undo(self._gateway, found, caller).standing()
        cancels = standing["created"]
        if not dry_run and cancels and found.state != "undoing":
            details = found.details or Details(asker=Asker.of(caller))
            changed = replace(details, undo_by=Asker.of(caller))
            await self._queue(import_id, _UNDOABLE, "undoing", "undo", details=changed)
            await self._settled(caller, import_id, "undoing")
            found = await self._visible(caller, import_id)
            standing = await Undo(self._gateway, found, caller).standing()
        undone = found.row.undone or 0
        stays = {name: count for name, count in sorted(standing.items()) if name != "created"}
        by_others = stays.pop("cancelled", 0) - undone
        return UndoOut(
            import_id=found.id,
            state=found.state,
            dry_run=dry_run,
            cancels=standing["created"],
            cancelled=undone,
            stays={**stays, "cancelled": by_others} if by_others > 0 else stays,
        )

    async def page(self, caller: Caller, limit: int, before_id: str | None) -> ImportsOut:
        """Return imports, the newest first."""
        found = await self._service.store.page(caller, limit, before_id)
        cursor = found[-1].import_id if len(found) == limit else None
        return ImportsOut(found, cursor)

    def _check_options(self, caller: Caller, options: Options) -> None:
        checked_sender(options.sender)
        checked(options.columns)
        check_site(self._gateway, caller, options.site)
        if options.encoding is not None and options.encoding not in NAMED:
            known = Problem(f"name one of {', '.join(NAMED)}", field="encoding")
            raise InvalidInput("There is no such encoding.", [known])

    async def _queue_check(
        self, import_id: str, before: tuple[State, ...], details: Details
    ) -> None:
        await self._queue(import_id, before, "reading", "check", details=details, **no_counts())

    async def _queue(
        self, import_id: str, before: tuple[State, ...], after: State, kind: str, **values: Any
    ) -> None:
        async with self._gateway.database.begin() as connection:
            known: tuple[State, ...] = tuple(each for each in before if each != "interrupted")
            if "interrupted" in before:
                known = (*known, "running")
            if not await self._service.store.move(connection, import_id, known, after, **values):
                raise Conflict(_BUSY)
            await self._work.put(connection, import_id, kind)
        self._work.queue.wake()

    async def _checked(self, caller: Caller, import_id: str) -> CheckOut:
        await self._settled(caller, import_id, "reading")
        return await self.check(caller, import_id)

    async def _settled(self, caller: Caller, import_id: str, state: State) -> None:
        """Wait some seconds for an import to leave a state. It polls: any process may change it."""
        pauses = iter(_POLL_SECONDS)
        pause = 0.0
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait_seconds
        while loop.time() < end and not self._gateway.stopping.is_set():
            if (await self._visible(caller, import_id)).state != state:
                return
            pause = next(pauses, pause)
            await asyncio.sleep(pause)

    async def _visible(self, caller: Caller, import_id: str) -> Stored:
        found = await self._service.store.read(import_id, caller)
        if found is None:
            raise NotFound("There is no such import, or it is too old to be kept.")
        return found


def _steps_of(found: Stored) -> Details:
    if found.origin != "upload" or found.details is None:
        raise Conflict("This import was not made in steps: its file is not kept.")
    return found.details


def _changed(options: Options, change: CheckChange) -> Options:
    """Return the options with the changes."""
    names = ("site", "sheet", "encoding", "delimiter", "dates", "hidden", "bags", "again")
    values = {name: value for name in names if (value := getattr(change, name)) is not UNSET}
    if change.sender is not UNSET:
        values["sender"] = checked_sender(change.sender)
    if change.columns is not UNSET:
        said = {**options.columns, **change.columns}
        values["columns"] = {header: field for header, field in said.items() if field is not None}
    if change.cells is not UNSET:
        values["cells"] = _with_cells(options.cells, change.cells)
    return replace(options, **values)


def _with_cells(
    before: Mapping[int, Mapping[int, str]], changes: list[CellChange]
) -> dict[int, dict[int, str]]:
    cells = {row: dict(found) for row, found in before.items()}
    for change in changes:
        place = _place(change.column)
        for row in change.rows:
            if change.value is None:
                cells.get(row, {}).pop(place, None)
            else:
                cells.setdefault(row, {})[place] = change.value
    cells = {row: found for row, found in cells.items() if found}
    if sum(map(len, cells.values())) > MOST_CELLS:
        raise InvalidInput(
            f"At most {MOST_CELLS} cells can be corrected here: correct the file and send it again."
        )
    return cells


def _place(letters: str) -> int:
    """Return a column's place from 0: ``A`` is 0, ``AA`` is 26."""
    place = 0
    for letter in letters:
        place = place * _LETTERS + ord(letter) - ord("A") + 1
    return place - 1
