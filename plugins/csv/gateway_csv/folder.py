"""The watched folder: it imports the files put into it, and moves them aside with their report.

A file that is the same at two checks has stopped growing. A process claims it by renaming it into
``working/``, under a name with the id of its import: the process that finds it there, also after a
crash, continues the same import, and packages created before the crash count as its own. It writes
the report and the rejected rows before it moves the file to ``done/`` or ``failed/``, so every file
there has its report beside it.

A file that can't be read, or at which the gateway stopped twice, moves to ``failed/``, and the
import continues with the next one. Logs name no file: its name may be a patient's. ``gateway
status`` shows the latest import, and the names in ``failed/``.
"""

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    GatewayError,
    HealthCheck,
    HealthReport,
    isoformat,
    new_id,
)
from gateway_csv.details import Asker, Details
from gateway_csv.folder_files import (
    CrashCount,
    is_readable,
    open_regular,
    private_folder,
    real_folder,
    write_new,
)
from gateway_csv.folder_reports import RejectedFile, written_report
from gateway_csv.jobs import Hooks, Job
from gateway_csv.mapping import Reading
from gateway_csv.page_words import NO_FAILED_FILE
from gateway_csv.rejected import Rejection
from gateway_csv.report import Report
from gateway_csv.service import ImportService, Recorder
from gateway_csv.settings import CsvSettings

_log = logging.getLogger(__name__)

_ACTOR: Final = "csv-folder"
_TRIES: Final = 5
_MOST_CRASHES: Final = 2
_CRASHED: Final = (
    "The gateway stopped twice in the middle of this file: it may need more memory than there is. "
    "Split it, or save it as CSV, and import the parts."
)
_STAMPED: Final = re.compile(r"(\d{8}T\d{6}Z)_.*\.report\.txt")
_SUMMARY_BYTES: Final = 300
_NAMES: Final = 3
_OWN: Final = frozenset({"working", "done", "failed"})
_EMPTY_FOR_SECONDS: Final = 60
# Half a download, a spreadsheet program's lock, a hidden file.
_NOT_YET: Final = re.compile(r"[.~].*|.*\.(?:tmp|part|partial|crdownload|filepart)", re.IGNORECASE)
_CLAIMED: Final = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)_(?P<id>imp_[0-9a-f-]+)_(?P<name>.+)")


class _Claimed(NamedTuple):
    """A file in ``working/``: its import, and its later name."""

    path: Path
    import_id: str
    name: str


class WatchedFolder:
    """Checks one folder periodically."""

    def __init__(self, folder: Path, service: ImportService, settings: CsvSettings) -> None:
        self._folder = folder
        self._gateway = service.gateway
        self._settings = settings
        self._service = service
        self._seen: dict[str, tuple[int, int]] = {}
        self._tries: dict[str, int] = {}
        self._links: frozenset[str] = frozenset()

    @property
    def _working(self) -> Path:
        return self._folder / "working"

    async def look(self) -> None:
        """Continue interrupted imports, then import files that have stopped growing."""
        faults: list[Exception] = []
        for claimed in await asyncio.to_thread(self._begun):
            await self._import_apart(claimed, faults, is_resumed=True)
        for path in await asyncio.to_thread(self._settled):
            fresh = await asyncio.to_thread(self._claim, path)
            if fresh is not None:
                await self._import_apart(fresh, faults, is_resumed=False)
        if faults:
            raise faults[0]

    async def _import_apart(
        self, claimed: _Claimed, faults: list[Exception], *, is_resumed: bool
    ) -> None:
        """Import one file; its failure doesn't delay other files."""
        if any(map(_is_outage, faults)):
            return  # the other files would fail, too
        try:
            await self._import(claimed, is_resumed=is_resumed)
        except Exception as fault:  # noqa: BLE001 - raised once every file had its turn
            faults.append(fault)

    def checks(self) -> list[HealthCheck]:
        """Return the checks of the folder and of its failed files."""
        return [
            HealthCheck("csv-folder", self.health),
            HealthCheck("csv-failed", self.failed_files, decides_readiness=False),
        ]

    async def health(self) -> HealthReport:
        """Return whether files can be taken from the folder, and imported."""
        site = self._settings.folder_site
        if site is not None and not self._gateway.sites.known(DEFAULT_ACCOUNT, site):
            detail = "folder_site of [plugins.csv] is none of the [[sites]]; correct it"
            return HealthReport(healthy=False, detail=detail)
        try:
            await asyncio.to_thread(self._make_folders)
        except OSError as error:
            detail = f"the watched folder can't be used ({error.strerror}): look at its permissions"
            return HealthReport(healthy=False, detail=detail)
        last = await asyncio.to_thread(self._last_import)
        return HealthReport(healthy=True, detail=f"the watched folder can be used{last}")

    async def failed_files(self) -> HealthReport:
        """Report the files in ``failed/``, until a person has seen to them."""
        folder = self._folder / "failed"
        names = await asyncio.to_thread(_names_in, folder)
        names = [each for each in names if not each.endswith((".report.txt", ".rejected.csv"))]
        links = await asyncio.to_thread(_links_in, self._folder)
        if not (names or links):
            return HealthReport(healthy=True, detail=NO_FAILED_FILE)
        detail = "; ".join(
            sentence
            for sentence in (
                names
                and f"{len(names)} of the watched folder could not be imported "
                f"({_some(names)}): read the report beside each, then move it away",
                links
                and f"{len(links)} in the watched folder is a link, which is never followed "
                f"({_some(links)}): put the file itself there, or take the link away",
            )
            if sentence
        )
        return HealthReport(
            healthy=False, detail=detail, command=f"ls {folder if names else self._folder}"
        )

    def _last_import(self) -> str:
        """Return when the latest import ended, and its counts."""
        found = [
            (match[1], folder / match[0])
            for folder in (self._folder / "done", self._folder / "failed")
            for match in map(_STAMPED.fullmatch, _names_in(folder))
            if match is not None
        ]
        if not found:
            return ""
        stamp, path = max(found)
        with open_regular(path) as file:
            summary = file.readline(_SUMMARY_BYTES).decode("utf-8", "replace").strip().rstrip(".")
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return f"; last import {isoformat(at)}: {summary}"

    def _make_folders(self) -> None:
        private_folder(self._working)
        for each in (self._folder / "done", self._folder / "failed"):
            real_folder(each)
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(0, "no permission")

    def _begun(self) -> list[_Claimed]:
        self._make_folders()
        found = ((path, _CLAIMED.fullmatch(path.name)) for path in sorted(self._working.iterdir()))
        return [
            _Claimed(path, match["id"], f"{match['stamp']}_{match['name']}")
            for path, match in found
            if match is not None
        ]

    def _settled(self) -> list[Path]:
        """Return the files that are unchanged since the last check, oldest first."""
        self._note_links()
        sizes: dict[str, tuple[int, int]] = {}
        settled: list[tuple[int, Path]] = []
        with os.scandir(self._folder) as entries:
            names = [each.name for each in entries if each.is_file(follow_symlinks=False)]
        for name in names:
            if _NOT_YET.fullmatch(name):
                continue
            path = self._folder / name
            try:
                stat = path.lstat()
            except FileNotFoundError:  # the sender took it back
                continue
            sizes[name] = (stat.st_size, stat.st_mtime_ns)
            if self._seen.get(name) == sizes[name] and self._is_whole(stat):
                settled.append((stat.st_mtime_ns, path))
        self._seen = sizes
        return [path for _, path in sorted(settled)]

    def _note_links(self) -> None:
        """Log new links, because their sender expects an import."""
        links = frozenset(_links_in(self._folder))
        if links - self._links:
            _log.warning(
                "%s in the watched folder is a link, which is never followed: put the file itself "
                "there (gateway status names it)",
                len(links - self._links),
            )
        self._links = links

    def _is_whole(self, stat: os.stat_result) -> bool:
        """Wait with an empty file: some programs create it first and fill it later."""
        age_seconds = self._gateway.clock.now().timestamp() - stat.st_mtime
        return stat.st_size > 0 or age_seconds > _EMPTY_FOR_SECONDS

    def _claim(self, path: Path) -> _Claimed | None:
        now = self._gateway.clock.now()
        import_id, stamp = new_id("imp", now), f"{now:%Y%m%dT%H%M%SZ}"
        target = self._working / f"{stamp}_{import_id}_{path.name}"
        try:
            path.rename(target)
        except OSError:  # another process was faster, or a program still has it open (Windows)
            return None
        self._seen.pop(path.name, None)
        return _Claimed(target, import_id, f"{stamp}_{path.name}")

    async def _import(self, claimed: _Claimed, *, is_resumed: bool) -> None:
        job = Job(
            import_id=claimed.import_id,
            caller=Caller(DEFAULT_ACCOUNT, "live", _ACTOR),
            site=self._settings.folder_site,
            sender=self._settings.folder_sender,
            is_resumed=is_resumed,
        )
        report = Report()
        rejected = RejectedFile(claimed.path.with_name(f"{claimed.path.name}.rejected"))
        await self._begin(claimed, job)
        crashes = CrashCount(self._folder / f".{claimed.path.name}.crashes")
        if is_resumed and claimed.import_id not in self._tries and crashes.read() >= _MOST_CRASHES:
            await self._end(claimed, report, _CRASHED, rejected)
            crashes.clear()
            return
        self._tries.setdefault(claimed.import_id, 0)
        with crashes:
            await self._import_claimed(claimed, job, rejected)

    async def _begin(self, claimed: _Claimed, job: Job) -> None:
        """Add the import to the list of all imports; a continued one is there already."""
        name = claimed.name.partition("_")[2]
        details = Details(asker=Asker.of(job.caller), file_name=name)
        await self._service.store.begin(
            job.caller,
            dry_run=False,
            origin="folder",
            import_id=claimed.import_id,
            details=details,
        )

    async def _import_claimed(self, claimed: _Claimed, job: Job, rejected: RejectedFile) -> None:
        error: str | None = None
        report = Report()
        try:
            file = await asyncio.to_thread(open_regular, claimed.path)
        except FileNotFoundError:  # another process finished it
            return
        except OSError as fault:
            error = f"The file can't be read: {(fault.strerror or 'it is damaged').lower()}."
            await self._end(claimed, report, error, rejected)
            return
        store = self._service.store
        await store.drop_rejected(claimed.import_id)
        recorder = Recorder(store, claimed.import_id)

        async def progress(report: Report) -> None:
            await recorder.progress(report)

        async def reject(rejections: Sequence[Rejection], reading: Reading) -> None:
            await rejected.write(rejections, reading)
            await recorder.rejected(rejections, reading)

        try:
            with file, rejected:
                hooks = Hooks(progress, reject, recorder.made)
                importer = await self._service.importer()
                report = await importer.run(file, job, hooks)
        except GatewayError as refused:
            error = " ".join([refused.message, *(each.message for each in refused.details)])
        except Exception as fault:
            # An unavailable database comes back; a defect of the gateway may not go away.
            if _is_outage(fault) and not await asyncio.to_thread(is_readable, claimed.path):
                error = "The file can't be read to its end: see whether its disk is in order."
            elif _is_outage(fault) or not self._give_up(claimed):
                raise
            else:
                error = "The gateway failed over this file: look into its log, and report it."
        await self._end(claimed, report, error, rejected)

    async def _end(
        self, claimed: _Claimed, report: Report, error: str | None, rejected: RejectedFile
    ) -> None:
        """Move the file with its report, and record the result."""
        await asyncio.to_thread(self._put_away, claimed, report, error, rejected)
        done = report if error is None else None
        await self._service.store.end(claimed.import_id, done, error)

    def _give_up(self, claimed: _Claimed) -> bool:
        tries = self._tries[claimed.import_id] = self._tries.get(claimed.import_id, 0) + 1
        return tries >= _TRIES

    def _put_away(
        self, claimed: _Claimed, report: Report, error: str | None, rejected: RejectedFile
    ) -> None:
        is_done = error is None and not report.is_failure
        folder = self._folder / ("done" if is_done else "failed")
        target = folder / claimed.name
        rejected.move_to(target.with_name(f"{claimed.name}.rejected.csv"), like=claimed.path)
        text = written_report(report, error)
        write_new(target.with_name(f"{claimed.name}.report.txt"), text)
        claimed.path.replace(target)
        self._tries.pop(claimed.import_id, None)
        _log.log(
            logging.INFO if is_done else logging.WARNING,
            "import %s of the watched folder: %s rows, %s created, %s known, %s rejected%s",
            claimed.import_id,
            report.rows,
            report.created,
            report.duplicates,
            report.rejected,
            "" if is_done else "; the file was put into failed/ with a report (gateway status)",
        )


def _is_outage(fault: Exception) -> bool:
    """Return whether the database or the disk may be the cause, which come back."""
    return isinstance(fault, OSError) or type(fault).__module__.startswith("sqlalchemy")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES}" if len(names) > _NAMES else ""
    return f"{', '.join(names[-_NAMES:])}{more}"


def _links_in(folder: Path) -> list[str]:
    """Return the names of the links in the place of files to import."""
    try:
        with os.scandir(folder) as entries:
            links = [each.name for each in entries if each.is_symlink()]
    except OSError:
        return []
    return sorted(each for each in links if each not in _OWN and not _NOT_YET.fullmatch(each))


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return []
