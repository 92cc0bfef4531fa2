"""The import itself: rows in bounded chunks through intake, like every other order.

While one chunk is being stored the next is read, in a thread. What is held in memory of a
file is a chunk or two; for each row, the id of its package and a number that tells it from others.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from itertools import islice
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

import msgspec

from gateway.plugin import (
    Caller,
    Candidate,
    Gateway,
    GatewayError,
    IntakeResult,
    InvalidInput,
    NotAllowed,
    Order,
    OrderResult,
    Problem,
    Submission,
    Unavailable,
)
from gateway_csv.columns.column_mappings import DEFAULT_SENDER, Memory, remember, remembered
from gateway_csv.mapping import PARTS, SOURCE, Reading, ReadRow, read_row, row_problem
from gateway_csv.read.layout import Layout
from gateway_csv.read.rows import Row
from gateway_csv.read.table import Table, Wishes
from gateway_csv.rejected import Rejection
from gateway_csv.report import Report
from gateway_csv.row_dedup import Claim, KnownRows, said_by
from gateway_csv.schema import RowProblem
from gateway_csv.settings import CsvSettings, DayOrder


async def with_all_faults(
    gateway: Gateway, caller: Caller, rows: Sequence[ReadRow], layout: Layout
) -> Sequence[ReadRow]:
    """Return the rows; those with errors have what intake finds wrong with them as well."""
    faulty = [(place, read) for place, read in enumerate(rows) if read.rest is not None]
    if not faulty:
        return rows
    candidates = tuple(Candidate(read.rest) for _, read in faulty)
    judged = await gateway.intake.rehearse(Submission(caller, SOURCE, candidates))
    complete = list(rows)
    for (place, read), result in zip(faulty, judged.results, strict=True):
        complete[place] = read._replace(errors=_joined(read, result.errors, layout))
    for warning in judged.warnings:
        place, read = faulty[warning.index or 0]
        remark = row_problem(read.row, layout, warning)
        complete[place] = complete[place]._replace(warnings=(*complete[place].warnings, remark))
    return complete


def _joined(read: ReadRow, found: Sequence[Problem], layout: Layout) -> tuple[RowProblem, ...]:
    """Add what was found, but for what is only missing because it couldn't be read."""
    unread = {each.field for each in read.errors}
    more = (
        row_problem(read.row, layout, each)
        for each in found
        if unread.isdisjoint({each.field, *PARTS.get(each.field or "", ())})
    )
    return (*read.errors, *more)


_ROWS_AT_ONCE: Final = 1000


class Job(NamedTuple):
    """One import: who asks for it, and what was said of the file.

    ``is_resumed`` says that an earlier try under the same id may have got some way.
    """

    import_id: str
    caller: Caller
    site: str | None = None
    dry_run: bool = False
    again: bool = False
    """Whether rows that were imported before are to make packages once more."""
    dates: DayOrder | None = None
    sender: str = DEFAULT_SENDER
    told: Mapping[str, str] = MappingProxyType({})
    is_resumed: bool = False


class Hooks(NamedTuple):
    """What an import tells while it runs: how far it is, and which rows were rejected."""

    progress: Callable[[Report], Awaitable[None]]
    rejected: Callable[[Sequence[Rejection], Reading], Awaitable[None]]


class _Chunk(NamedTuple):
    rows: Sequence[ReadRow]
    indexes: Sequence[bytes]


class Importer:
    """Imports files for one gateway."""

    def __init__(self, gateway: Gateway, settings: CsvSettings) -> None:
        self._gateway = gateway
        self._settings = settings

    async def run(self, file: BinaryIO, job: Job, hooks: Hooks) -> Report:
        """Import a file; returns the report.

        Raises ``InvalidInput`` or ``TooLarge``, with nothing imported, for a file that can't
        be read from its beginning to its end; ``Unavailable`` when it stops in the middle.
        """
        self._check_site(job)
        table = Table(file, self._settings, await self._wishes(job))
        report = Report()
        reading, report.rows = await asyncio.to_thread(table.understand, report)
        report.ignored_columns = reading.layout.ignored()
        await hooks.progress(report)
        run = _Run(self._gateway, self._settings, job, hooks, reading, report)
        try:
            async with aclosing(_ahead(run.chunks(table.orders(reading.layout)))) as chunks:
                async for chunk in chunks:
                    await run.take(chunk)
        except GatewayError as error:
            if report.rows_done == 0 or job.dry_run:
                raise
            raise Unavailable(
                f"The import stopped after {report.rows_done} of {report.rows} rows "
                f"({error.message}) Send the same file again: what was imported already makes no "
                "second package."
            ) from error
        if not job.dry_run:
            memory = Memory.of(job.caller, job.sender)
            await remember(self._gateway.database, memory, job.told)
        return report

    def _check_site(self, job: Job) -> None:
        caller, site = job.caller, job.site
        if site is None:
            return
        if caller.site is not None and caller.site != site:
            raise NotAllowed("This key belongs to another site; leave site out, or use its key.")
        if not self._gateway.sites.known(caller.account_id, site):
            raise InvalidInput(
                "There is no such site.", [Problem("name a [[sites]] code", field="site")]
            )

    async def _wishes(self, job: Job) -> Wishes:
        before = await remembered(self._gateway.database, Memory.of(job.caller, job.sender))
        return Wishes(
            site=job.site,
            country=self._country(job),
            dates=job.dates or self._settings.dates,
            told=job.told,
            remembered=before,
        )

    def _country(self, job: Job) -> str:
        wanted = job.site or job.caller.site
        sites = [
            each
            for each in self._gateway.settings.sites
            if each.account == job.caller.account_id and wanted in {None, each.code}
        ]
        return sites[0].country if sites else "US"


class _Run:
    """One import on its way through its rows."""

    def __init__(
        self,
        gateway: Gateway,
        settings: CsvSettings,
        job: Job,
        hooks: Hooks,
        reading: Reading,
        report: Report,
    ) -> None:
        self._gateway = gateway
        self._job = job
        self._hooks = hooks
        self._reading = reading
        self._report = report
        window = timedelta(days=settings.same_row_days)
        self._known = KnownRows(gateway.database, job.caller, window)
        self._rows_by_content: dict[int, int] = {}
        codes = {
            each.code for each in gateway.settings.sites if each.account == job.caller.account_id
        }
        self._site = job.caller.site or (codes.pop() if len(codes) == 1 else None)

    def chunks(self, rows: Iterator[Row]) -> Iterator[_Chunk]:
        """Read rows, some at a time."""
        while some := [read_row(row, self._reading) for row in islice(rows, _ROWS_AT_ONCE)]:
            yield _Chunk(some, [self._index(each.candidate.order) for each in some])

    def _index(self, order: Order | None) -> bytes:
        """Make what a row is known by: its order id, or all it says."""
        if order is None:
            return b""
        text = f"id:{order.external_order_id}"
        if not order.external_order_id:
            text = said_by(order, self._site)
        return self._gateway.sealer.blind_index("csv row", self._job.caller.account_id, text)

    async def take(self, chunk: _Chunk) -> None:
        """Hand a chunk to intake, and write down what became of it."""
        job, report = self._job, self._report
        rows = await with_all_faults(self._gateway, job.caller, chunk.rows, self._reading.layout)
        chunk = chunk._replace(rows=rows)
        claims = await self._claims(chunk)
        candidates = tuple(
            _with_reference(read.candidate, index, claims.get(index))
            for read, index in zip(chunk.rows, chunk.indexes, strict=True)
        )
        submission = Submission(job.caller, SOURCE, candidates)
        intake = self._gateway.intake
        answer = await (intake.rehearse(submission) if job.dry_run else intake.accept(submission))
        rejections = self._reported(chunk, answer, claims)
        if rejections:
            await self._hooks.rejected(rejections, self._reading)
        report.rows_done += len(chunk.rows)
        await self._hooks.progress(report)

    async def _claims(self, chunk: _Chunk) -> dict[bytes, Claim]:
        indexes = sorted({each for each in chunk.indexes if each})
        job, now = self._job, self._gateway.clock.now()
        if not job.dry_run:
            return dict(await self._known.claim(indexes, job.import_id, now, again=job.again))
        return {} if job.again else await self._known.known(indexes, now)

    def _reported(
        self, chunk: _Chunk, answer: IntakeResult, claims: dict[bytes, Claim]
    ) -> list[Rejection]:
        layout = self._reading.layout
        rejections: list[Rejection] = []
        for read, index, result in zip(chunk.rows, chunk.indexes, answer.results, strict=True):
            for remark in read.warnings:
                self._report.add_warning(remark)
            if result.status == "rejected":
                problems = read.errors or tuple(
                    row_problem(read.row, layout, each) for each in result.errors
                )
                rejections.append((read.row, problems))
                self._report.rejected += 1
                for problem in problems:
                    self._report.add_error(problem)
            else:
                self._count(read.row, index, result, claims.get(index))
        for warning in answer.warnings:
            row = chunk.rows[warning.index or 0].row
            self._report.add_warning(row_problem(row, layout, warning))
        return rejections

    def _count(self, row: Row, index: bytes, result: OrderResult, claim: Claim | None) -> None:
        content = int.from_bytes(index[:8])
        earlier = self._rows_by_content.setdefault(content, row.number)
        if earlier != row.number:
            self._report.warn(
                f"the row says the same as row {earlier}, or has the same order id; it made no "
                "package of its own",
                row,
            )
        elif result.status == "created" or self._is_ours(claim):
            self._report.add_created(result.package_id)
        else:
            self._report.duplicates += 1
            self._report.warn("the row was imported before; it made no second package", row)

    def _is_ours(self, claim: Claim | None) -> bool:
        """Say whether an earlier try of this very import brought the row."""
        job = self._job
        return job.is_resumed and claim is not None and claim.import_id == job.import_id


def _with_reference(candidate: Candidate, index: bytes, claim: Claim | None) -> Candidate:
    if candidate.order is None:
        return candidate
    reference = index.hex() if claim is None else claim.reference(index)
    return msgspec.structs.replace(candidate, reference=reference)


async def _ahead(chunks: Iterator[_Chunk]) -> AsyncGenerator[_Chunk, None]:
    """Yield chunks, and read the next one, in a thread, while one is being worked on."""

    def read() -> _Chunk | None:
        return next(chunks, None)

    coming = asyncio.create_task(asyncio.to_thread(read))
    try:
        while (chunk := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(read))
            yield chunk
    finally:
        # The file is whoever gave it's to close, and a thread may still be reading it.
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()
