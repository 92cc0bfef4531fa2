"""Imports of files in one request, and the recording of every import while it runs."""

import asyncio
import importlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Final

from gateway.plugin import Gateway, GatewayError, HealthReport, isoformat
from gateway_csv.jobs import Hooks, Job, Made, file_counter
from gateway_csv.page_words import ENDED_UPLOAD, LAST_UPLOAD, NO_UPLOAD
from gateway_csv.read.threads import ReadingThreads
from gateway_csv.report import Report
from gateway_csv.row_dedup import delete_claims
from gateway_csv.settings import CsvSettings
from gateway_csv.store import ImportStore

if TYPE_CHECKING:  # what reads files is imported with the first one
    from gateway_csv.folder import WatchedFolder
    from gateway_csv.importer import Importer
    from gateway_csv.mapping import Reading
    from gateway_csv.rejected import Rejection

_log = logging.getLogger(__name__)

FAULT: Final = (
    "The import stopped because of a fault of the gateway: look into its log, then send the file "
    "again; what was imported already makes no second package."
)


# A started import needs its claims, even when the gateway was off for weeks.
_CLAIM_DAYS: Final = 60


class Paused(Exception):
    """The process stops in the middle of an import or an undo."""


class ImportService:
    """Runs imports of uploaded files, each under its id."""

    def __init__(self, gateway: Gateway, settings: CsvSettings) -> None:
        self._gateway = gateway
        self._settings = settings
        self.threads = ReadingThreads()
        self._importer: Importer | None = None
        file_counter(gateway)

    @property
    def gateway(self) -> Gateway:
        """The gateway that receives the orders."""
        return self._gateway

    @property
    def store(self) -> ImportStore:
        """The states of imports."""
        return ImportStore(self._gateway)

    async def importer(self) -> "Importer":
        """Return the importer; the first time, what reads files is imported in a thread."""
        if self._importer is None:
            await asyncio.to_thread(importlib.import_module, "gateway_csv.checking")
            from gateway_csv.importer import Importer

            if self._importer is None:  # another upload may have made it meanwhile
                self._importer = Importer(self._gateway, self._settings, self.threads)
        return self._importer

    async def run(self, file: BinaryIO, job: Job) -> Report:
        """Import a file; raises what the importer raises, once that is stored."""
        store = self.store
        try:
            importer = await self.importer()
            report = await importer.run(file, job, Recorder(store, job.import_id).hooks())
        except GatewayError as error:
            await store.end(job.import_id, None, sentence_of(error))
            raise
        except Exception:  # a caller who polls must not wait for ever; it is raised again
            await store.end(job.import_id, None, FAULT)
            raise
        await store.end(job.import_id, report)
        return report

    async def run_unattended(self, file: BinaryIO, job: Job) -> None:
        """Import a file in the background; the result is stored."""
        try:
            await self.run(file, job)
        except GatewayError:
            return  # stored, for the sender to correct
        except Exception as error:  # noqa: BLE001 - the answer is long sent; only the log has it
            _log.error("import %s failed: %s", job.import_id, type(error).__name__)

    async def last_upload(self) -> HealthReport:
        """Report the result of the latest upload; the sender of a failed one got an error."""
        latest = await self.store.latest()
        if latest is None:
            return HealthReport(healthy=True, detail=NO_UPLOAD)
        state, found = latest
        shown = {name: isoformat(v) if isinstance(v, datetime) else v for name, v in found.items()}
        said = ENDED_UPLOAD.get(state, LAST_UPLOAD)
        return HealthReport(healthy=True, detail=said.format(**shown), message=said, values=found)

    async def tidy(self) -> None:
        """Delete imports at the age in the settings."""
        now = self._gateway.clock.now()
        days = max(self._settings.same_row_days, _CLAIM_DAYS)
        await asyncio.gather(
            self.store.delete_before(now - timedelta(hours=self._settings.keep_rejected_hours)),
            delete_claims(self._gateway.database, now - timedelta(days=days)),
        )


class Recorder:
    """Records an import while it runs: its progress, its packages, and its rejected rows.

    Rejected rows are kept in parts, one for each chunk that has some.
    """

    def __init__(self, store: ImportStore, import_id: str) -> None:
        self._store = store
        self._import_id = import_id
        self._parts = 0

    def hooks(self) -> Hooks:
        """Return what the importer calls."""

        async def progress(report: Report) -> None:
            await self.progress(report)

        return Hooks(progress, self.rejected, self.made)

    async def progress(self, report: Report) -> bool:
        """Store the progress; returns whether a person requested a stop."""
        return await self._store.progress(self._import_id, report)

    async def made(self, made: Sequence[Made]) -> None:
        """Store the packages, for an undo."""
        await self._store.keep_made(self._import_id, made)

    async def rejected(self, rejections: "Sequence[Rejection]", reading: "Reading") -> None:
        """Keep these rows; the first part begins with the header."""
        from gateway_csv.rejected import header_line, rejected_lines

        header = header_line(reading) if self._parts == 0 else ""
        text = header + rejected_lines(rejections, reading)
        await self._store.keep_rejected(self._import_id, self._parts, text)
        self._parts += 1


def sentence_of(error: GatewayError) -> str:
    """Return an error with its details in one line."""
    return " ".join([error.message, *(each.message for each in error.details)])


def watched_folder(service: ImportService, settings: CsvSettings) -> "WatchedFolder | None":
    """Return the watch over the settings' folder, if there is one: it imports what reads files."""
    if settings.folder is None:
        return None
    from gateway_csv.folder import WatchedFolder

    return WatchedFolder(settings.folder, service, settings)
