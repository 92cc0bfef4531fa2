"""``gateway csv …``: import and export files on the command line."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

import click
import msgspec

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Conflict,
    Gateway,
    GatewayError,
    InvalidInput,
    Session,
    command,
    new_id,
)
from gateway_csv.columns.column_mappings import checked, checked_sender
from gateway_csv.details import Asker, Details
from gateway_csv.export_command import export_command
from gateway_csv.importer import Importer
from gateway_csv.jobs import Hooks, Job
from gateway_csv.mapping import Reading
from gateway_csv.read.encoding import NAMED
from gateway_csv.read.threads import ReadingThreads
from gateway_csv.rejected import Rejection, header_line, rejected_lines
from gateway_csv.report import Report
from gateway_csv.schema import RowProblem
from gateway_csv.service import Recorder, sentence_of
from gateway_csv.settings import BagsBy, CsvSettings, DayOrder
from gateway_csv.store import ImportStore

_COLUMNS: Final = ("row", "column", "message", "expected", "found", "fix")
_SHOWN: Final = 50
_DATES: Final = ("auto", "day-first", "month-first")

_ACCOUNT: Final = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="Whose packages."
)
_TEST: Final = click.option("--test", "test_mode", is_flag=True, help="Test data, not live.")


def csv_group(settings: CsvSettings) -> click.Group:
    """Make ``gateway csv``."""
    group = click.Group("csv", help="Orders from spreadsheets, and packages into them.")
    group.add_command(_import(settings))
    group.add_command(export_command())
    return group


def _import(settings: CsvSettings) -> click.Command:
    """Make ``gateway csv import``."""

    @command("import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--site", help="The site of rows that name none.")
    @click.option("--dry-run", is_flag=True, help="Report what would happen, and keep nothing.")
    @click.option(
        "--errors-to",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the rejected rows to this new file, each with what is wrong.",
    )
    @click.option("--dates", type=click.Choice(_DATES), help="How 03/04/2026 is read.")
    @click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="HEADER=FIELD",
        help="Say which field a column is (or 'ignore'); remembered for the sender.",
    )
    @click.option("--sender", help="Who the file is from.  [default: default]")
    @click.option("--again", is_flag=True, help="Make packages of rows imported before, too.")
    @click.option(
        "--bags",
        type=click.Choice(("order_id", "patient")),
        help="Which rows are one bag: those of one order id, or of one patient and date too.",
    )
    @click.option("--hidden", is_flag=True, help="Import rows that the spreadsheet hides, too.")
    @click.option("--sheet", help="The sheet to read.  [default: the first with anything on it]")
    @click.option(
        "--encoding", type=click.Choice(NAMED), help="The encoding of a text file's letters."
    )
    @_ACCOUNT
    @_TEST
    async def import_file(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        file: Path,
        site: str | None,
        dry_run: bool,
        errors_to: Path | None,
        dates: DayOrder | None,
        columns: Sequence[str],
        sender: str | None,
        again: bool,
        bags: BagsBy | None,
        hidden: bool,
        sheet: str | None,
        encoding: str | None,
        account: str,
        test_mode: bool,
    ) -> None:
        """Import a CSV, TSV, .xlsx, .xls or .ods FILE: good rows are kept, bad ones explained."""
        caller = session.caller(account, "test" if test_mode else "live")
        chosen = checked(_chosen(columns))
        async with session.gateway() as gateway:
            job = Job(
                import_id=new_id("imp", gateway.clock.now()),
                caller=caller,
                site=site,
                dry_run=dry_run,
                again=again,
                dates=dates,
                sender=checked_sender(sender),
                chosen=chosen,
                takes_hidden=hidden,
                bags=bags,
                sheet=sheet,
                encoding=encoding,
            )
            report = await _run(gateway, settings, job, file, errors_to)
        _show(session, report, dry_run=dry_run)

    return import_file


def _chosen(columns: Sequence[str]) -> dict[str, str]:
    pairs = [each.rpartition("=") for each in columns]
    if any(not header for header, _, _ in pairs):
        raise InvalidInput('Name a column as in --column "Pt=patient_name".')
    return {header.strip(): field.strip() for header, _, field in pairs}


async def _run(
    gateway: Gateway, settings: CsvSettings, job: Job, file: Path, errors_to: Path | None
) -> Report:
    with ExitStack() as stack:
        opened: BinaryIO = stack.enter_context(file.open("rb"))
        bar = _Bar(stack)
        errors = _RejectedFile(stack, errors_to)
        async with ReadingThreads() as threads:
            importer = Importer(gateway, settings, threads)
            if job.dry_run:
                return await importer.run(opened, job, Hooks(bar.show, errors.write))
            return await _recorded(ImportStore(gateway), importer, opened, job, file, bar, errors)


async def _recorded(
    store: ImportStore,
    importer: Importer,
    opened: BinaryIO,
    job: Job,
    file: Path,
    bar: "_Bar",
    errors: "_RejectedFile",
) -> Report:
    """Import a file; it is in the list of imports, and can be undone."""
    details = Details(asker=Asker.of(job.caller), file_name=file.name)
    await store.begin(
        job.caller, dry_run=False, origin="cli", import_id=job.import_id, details=details
    )
    recorder = Recorder(store, job.import_id)

    async def progress(report: Report) -> None:
        await bar.show(report)
        await recorder.progress(report)

    async def reject(rejections: Sequence[Rejection], reading: Reading) -> None:
        await errors.write(rejections, reading)
        await recorder.rejected(rejections, reading)

    try:
        report = await importer.run(opened, job, Hooks(progress, reject, recorder.made))
    except GatewayError as error:
        await store.end(job.import_id, None, sentence_of(error))
        raise
    await store.end(job.import_id, report)
    return report


class _Bar:
    """A progress bar on stderr; silent if that isn't a terminal."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._bar: Any = None
        self._done = 0

    async def show(self, report: Report) -> None:
        """Move to the import's progress."""
        if self._bar is None:
            label = f"{report.rows} row{'s' * (report.rows != 1)}"
            made = click.progressbar(length=report.rows, label=label, file=sys.stderr)
            self._bar = self._stack.enter_context(made)
        self._bar.update(report.rows_done - self._done)
        self._done = report.rows_done


class _RejectedFile:
    """The file of rejected rows; there is none where no row is rejected."""

    def __init__(self, stack: ExitStack, path: Path | None) -> None:
        self._stack = stack
        self._path = path
        self._file: TextIO | None = None
        if path is not None and path.exists():
            raise Conflict(
                "The file for the rejected rows is there already: name another one, or delete it."
            )

    async def write(self, rejections: Sequence[Rejection], reading: Reading) -> None:
        """Write these rows."""
        if self._path is None:
            return
        if self._file is None:
            try:
                opened = self._path.open("x", encoding="utf-8", newline="")
            except OSError as error:
                raise InvalidInput(
                    "The file for the rejected rows can't be written "
                    f"({error.strerror}): name another one."
                ) from None
            self._file = self._stack.enter_context(opened)
            self._file.write(header_line(reading))
        self._file.write(rejected_lines(rejections, reading))


def _show(session: Session, report: Report, *, dry_run: bool) -> None:
    out = report.out()
    if session.as_json:
        session.record(
            {
                **msgspec.to_builtins(out),
                "duplicates": report.duplicates,
                "repeated": report.repeated,
                "bagged": report.bagged,
                "skipped": report.skipped,
                "rejected": report.rejected,
            }
        )
        return
    session.say(report.summary(dry_run=dry_run))
    if out.ignored_columns:
        session.say(f"Ignored columns: {', '.join(out.ignored_columns)}")
    for title, problems in (("Errors", out.errors), ("Remarks", out.warnings)):
        _show_problems(session, title, problems)
    if report.is_failure:
        raise InvalidInput("None of the rows can be imported.")


def _show_problems(session: Session, title: str, problems: Sequence[RowProblem]) -> None:
    if not problems:
        return
    session.say(f"\n{title}:")
    rows = [msgspec.to_builtins(each) for each in problems[:_SHOWN]]
    columns = [name for name in _COLUMNS if any(name in each for each in rows)]
    session.table(columns, rows)
    if len(problems) > _SHOWN:
        session.say(f"and {len(problems) - _SHOWN} more; --json shows them all")
