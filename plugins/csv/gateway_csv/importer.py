"""The import: rows go through intake in chunks, like every other order.

While one chunk is being stored the next is read (:mod:`gateway_csv.row_chunks`). The memory of an
import is a chunk or two, and for each row its package's id and two numbers, the hashes of its
identity and content.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
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
    OrderResult,
    Problem,
    Submission,
    TooLarge,
    Unavailable,
)
from gateway_csv.bags import problems_of_members
from gateway_csv.columns.column_mappings import Memory, remember, remembered
from gateway_csv.columns.reading import Choices
from gateway_csv.first_rows import FirstRows
from gateway_csv.jobs import Hooks, Job, Made, check_site, file_counter
from gateway_csv.mapping import PARTS, SOURCE, Reading, ReadRow, row_problem
from gateway_csv.read.layout import Layout
from gateway_csv.read.rows import Row
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.read.threads import ReadingThreads
from gateway_csv.rejected import Rejection
from gateway_csv.report import Report
from gateway_csv.row_chunks import row_chunks
from gateway_csv.row_dedup import (
    Claim,
    Identity,
    KnownRows,
    identities_of,
    same_patient,
    with_before,
)
from gateway_csv.schema import RowProblem
from gateway_csv.settings import BagsBy, CsvSettings

_PACKAGE_ID: Final = re.compile(r"pkg_[0-9a-zA-Z-]{10,60}")


async def with_all_faults(
    gateway: Gateway, caller: Caller, rows: Sequence[ReadRow], layout: Layout
) -> Sequence[ReadRow]:
    """Return the rows; those with errors also have intake's problems."""
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
    """Add intake's problems, except fields that are missing because they couldn't be read."""
    unread = {each.field for each in read.errors}
    more = (
        row_problem(read.row, layout, each)
        for each in found
        if unread.isdisjoint({each.field, *PARTS.get(each.field or "", ())})
    )
    return (*read.errors, *more)


class _Read(NamedTuple):
    """A row, or the rows of a bag, and its identity (if it can be an order).

    ``others`` are the further identities of a bag without an order id.
    """

    read: ReadRow
    identity: Identity | None
    others: tuple[Identity, ...] = ()
    key: int = 0
    """What it is known by, as a number."""

    @property
    def rows(self) -> int:
        """The number of its rows in the file."""
        return 1 + len(self.read.members)


class Importer:
    """Imports files for one gateway, two at a time: the others wait for their turn."""

    def __init__(self, gateway: Gateway, settings: CsvSettings, threads: ReadingThreads) -> None:
        self._gateway = gateway
        self._settings = settings
        self.threads = threads
        self._files = file_counter(gateway)

    async def run(self, file: BinaryIO, job: Job, hooks: Hooks) -> Report:
        """Import a file; returns the report.

        Raises ``InvalidInput`` or ``TooLarge``, with nothing imported, for a file that can't
        be read from its beginning to its end; ``Unavailable`` when it stops in the middle.
        """
        outcome = "failed"
        try:
            check_site(self._gateway, job.caller, job.site)
            async with self.threads.turn():
                report = await self._run(await self.table(file, job), job, hooks)
            outcome = "rejected" if report.is_failure else "imported"
        except (InvalidInput, TooLarge, NotAllowed):
            outcome = "refused"
            raise
        finally:
            if not job.dry_run:
                self._files.inc((outcome,))
        return report

    async def _run(self, table: Table, job: Job, hooks: Hooks) -> Report:
        report = Report()
        reading, report.rows = await self.threads.run(table.understand, report)
        report.ignored_columns = reading.layout.ignored()
        await hooks.understood(table, reading)
        await hooks.progress(report)
        run = _Run(self._gateway, self._settings, job, hooks, reading, report)
        await run.look_back()
        rows = run.chunks(table)
        try:
            async with aclosing(_ahead(rows, self.threads)) as chunks:
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
            await remember(self._gateway.database, memory, job.chosen)
        return report

    async def table(self, file: BinaryIO, job: Job) -> Table:
        """Return a file as a table, to be read as the job says."""
        pace = self.threads.pace(self._settings.max_read_seconds)
        return Table(file, self._settings, await self._options(job), pace)

    async def choices(self, job: Job) -> Choices:
        """Return the chosen fields of the file's columns, now and before."""
        before = await remembered(self._gateway.database, Memory.of(job.caller, job.sender))
        return Choices(job.chosen, before)

    async def _options(self, job: Job) -> ImportOptions:
        before = (await self.choices(job)).remembered
        sites = [
            each for each in self._gateway.settings.sites if each.account == job.caller.account_id
        ]
        countries = {each.code: each.country for each in sites}
        first = next(iter(countries.values()), "US")
        return ImportOptions(
            site=job.site,
            country=countries.get(job.site or job.caller.site or "", first),
            countries=countries,
            dates=job.dates or self._settings.dates,
            chosen=job.chosen,
            remembered=before,
            takes_hidden=job.takes_hidden,
            sheet=job.sheet,
            encoding=job.encoding,
            delimiter=job.delimiter,
            cells=job.cells,
        )


class _Run:
    """One running import."""

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
        self._bags: BagsBy = job.bags or settings.bags
        self._first = FirstRows()
        codes = {
            each.code for each in gateway.settings.sites if each.account == job.caller.account_id
        }
        self._site = job.caller.site or (codes.pop() if len(codes) == 1 else None)
        self._looks_back = False
        self._index = partial(gateway.sealer.blind_index, "csv row", job.caller.account_id)

    async def look_back(self) -> None:
        """Find out whether rows from before csv_0002 still have to be recognised."""
        self._looks_back = await self._known.has_before(self._gateway.clock.now())

    def chunks(self, table: Table) -> Generator[Sequence[_Read], None, None]:
        """Read rows, some at a time."""
        for some in row_chunks(table, self._reading, self._bags):
            yield [self._known_by(each) for each in some]

    def _known_by(self, read: ReadRow) -> _Read:
        order = read.candidate.order
        if order is None or read.skipped:
            return _Read(read, None)
        identity, *others = identities_of(order, self._site, self._index)
        if self._looks_back:
            identity = with_before(identity, order, self._site, self._index)
        return _Read(read, identity, tuple(others), _number(identity.key))

    async def take(self, chunk: Sequence[_Read]) -> None:
        """Submit a chunk to intake, and record the result of each row."""
        job, report = self._job, self._report
        rejections: list[Rejection] = []
        left = await self._without_settled(chunk)
        claims = await self._claims([one for each in left for one in _identities(each)])
        kept: list[_Read] = []
        for each in left:
            problem = self._conflict(each, claims)
            if problem is None:
                kept.append(each)
            else:
                self._reject(each.read, [problem], rejections)
        read = [each.read for each in kept]
        reads = await with_all_faults(self._gateway, job.caller, read, self._reading.layout)
        if reads is not read:
            kept = [each._replace(read=read) for each, read in zip(kept, reads, strict=True)]
        candidates = tuple(_with_reference(each, claims) for each in kept)
        if candidates:
            submission = Submission(job.caller, SOURCE, candidates)
            intake = self._gateway.intake
            result = await (
                intake.rehearse(submission) if job.dry_run else intake.accept(submission)
            )
            await self._note_results(kept, result, claims, rejections)
        if rejections:
            rejections.sort(key=lambda each: each[0].number)
            await self._hooks.rejected(rejections, self._reading)
        report.rows_done += sum(each.rows for each in chunk)
        await self._hooks.progress(report)

    async def _without_settled(self, chunk: Sequence[_Read]) -> list[_Read]:
        """Count the rows that need no package, and return the others."""
        ours = await self._own_packages(chunk)
        left: list[_Read] = []
        for each in chunk:
            read, identity = each.read, each.identity
            if read.skipped:
                self._report.skipped += 1
                self._report.warn(f"no package was made of the row: {read.skipped}", read.row)
            elif read.package_id in ours:
                self._report.duplicates += 1
                self._report.warn(
                    "the row is a package of this gateway; it made no second", read.row
                )
            elif read.continues and identity is not None and each.key in self._first:
                earlier = self._first.number(each.key)
                self._report.repeated += 1
                self._report.warn(
                    f"the row is another line of the order in row {earlier}", read.row
                )
            else:
                if identity is not None:
                    content = _number(identity.content)
                    for key in (each.key, *(_number(other.key) for other in each.others)):
                        self._first.note(key, read.row.number, content)
                left.append(each)
        return left

    async def _own_packages(self, chunk: Sequence[_Read]) -> set[str]:
        """Return the packages of this gateway that rows name, as in an exported file."""
        named = {
            each.read.package_id
            for each in chunk
            if each.read.package_id is not None and _PACKAGE_ID.fullmatch(each.read.package_id)
        }
        if not named:
            return set()
        async with self._gateway.database.read() as connection:
            found = [
                await self._gateway.packages.get(connection, self._job.caller, each)
                for each in sorted(named)
            ]
        return {each.id for each in found if each is not None}

    async def _claims(self, identities: Sequence[Identity]) -> Mapping[bytes, Claim]:
        job, now = self._job, self._gateway.clock.now()
        if not job.dry_run:
            return await self._known.claim(identities, job.import_id, now, again=job.again)
        return {} if job.again else await self._known.known(identities, now)

    def _conflict(self, each: _Read, claims: Mapping[bytes, Claim]) -> RowProblem | None:
        """Return the error of a known row with other content."""
        identity = each.identity
        if identity is None:
            return None
        problem = self._conflict_of(each.read.row, identity, each.key, claims)
        for other in each.others:
            problem = problem or self._conflict_of(each.read.row, other, _number(other.key), claims)
        return problem

    def _conflict_of(
        self, row: Row, identity: Identity, key: int, claims: Mapping[bytes, Claim]
    ) -> RowProblem | None:
        if not identity.content:
            return None
        earlier = self._first.number(key)
        if earlier != row.number:
            if self._first.has_content(key, _number(identity.content)):
                return None
            return RowProblem(
                row=row.number,
                message=(
                    f"the row has the same {identity.by} as row {earlier}, and says something else"
                ),
                fix="give it an order id of its own, or take one of the rows out",
            )
        claim = claims.get(identity.key)
        if claim is None or not claim.differs(identity):
            return None
        return RowProblem(
            row=row.number,
            message=(
                f"a row with the same {identity.by} was imported before, and it said something "
                "else; its package was not changed"
            ),
            fix=(
                "a new order needs an order id of its own; to change the package, cancel it and "
                "import the row with another id"
            ),
        )

    async def _note_results(
        self,
        kept: Sequence[_Read],
        result: IntakeResult,
        claims: Mapping[bytes, Claim],
        rejections: list[Rejection],
    ) -> None:
        layout = self._reading.layout
        made: list[Made] = []
        for each, order in zip(kept, result.results, strict=True):
            read, identity = each.read, each.identity
            for remark in read.warnings:
                self._report.add_warning(remark)
            if order.status == "rejected" or identity is None:
                problems = read.errors or tuple(
                    row_problem(read.row, layout, problem) for problem in order.errors
                )
                self._reject(read, problems, rejections)
            elif order.status == "duplicate" and await self._is_another_order(each, order, claims):
                self._reject(read, [_other_content(read.row)], rejections)
            elif self._count(each, identity, order, claims.get(identity.key)):
                keys = (identity.key, *[other.key for other in each.others])
                made += [Made(order.package_id, keys)] if order.package_id else []
        for warning in result.warnings:
            row = kept[warning.index or 0].read.row
            self._report.add_warning(row_problem(row, layout, warning))
        if made:
            await self._hooks.made(made)

    async def _is_another_order(
        self, each: _Read, result: OrderResult, claims: Mapping[bytes, Claim]
    ) -> bool:
        """Say whether a duplicate's order id, of which no claim is left, is another patient's."""
        identity, order = each.identity, each.read.candidate.order
        if order is None or identity is None or not order.external_order_id:
            return False
        claim = claims.get(identity.key)
        is_first = self._first.number(each.key) == each.read.row.number
        is_new = claim is None or (claim.import_id == self._job.import_id or not claim.content)
        if self._job.is_resumed or not (is_first and is_new):
            return False
        async with self._gateway.database.read() as connection:
            package = await self._gateway.packages.get(
                connection, self._job.caller, result.package_id or ""
            )
        return package is not None and not package.purged and not same_patient(package.order, order)

    def _reject(
        self, read: ReadRow, problems: Sequence[RowProblem], rejections: list[Rejection]
    ) -> None:
        if read.members:
            rejections += problems_of_members(read.row, read.members, problems)
        else:
            rejections.append((read.row, problems))
        self._report.rejected += 1 + len(read.members)
        for problem in problems:
            self._report.add_error(problem)

    def _count(
        self, each: _Read, identity: Identity, result: OrderResult, claim: Claim | None
    ) -> bool:
        """Count a row that intake took; returns whether it is one that made a package."""
        row, members = each.read.row, each.read.members
        if members:
            self._report.bags += 1
            self._report.bagged += len(members)
        earlier = self._first.number(each.key)
        if earlier != row.number:
            self._report.repeated += 1
            self._report.warn(
                f"the row says the same as row {earlier}, or has the same order id; it made no "
                "package of its own",
                row,
            )
        elif result.status == "created" or self._is_ours(claim):
            self._report.known_by.add(identity.by)
            self._report.add_created(result.package_id)
            return True
        else:
            self._report.duplicates += 1
            self._report.warn("the row was imported before; it made no second package", row)
        return False

    def _is_ours(self, claim: Claim | None) -> bool:
        """Return whether an earlier attempt of this import imported the row."""
        job = self._job
        return job.is_resumed and claim is not None and claim.import_id == job.import_id


def _identities(each: _Read) -> Sequence[Identity]:
    return () if each.identity is None else (each.identity, *each.others)


def _other_content(row: Row) -> RowProblem:
    return RowProblem(
        row=row.number,
        message=(
            "the order id is that of a package for another patient or address; no package was made"
        ),
        fix="a new order needs an order id of its own",
    )


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8])


def _with_reference(each: _Read, claims: Mapping[bytes, Claim]) -> Candidate:
    candidate, identity = each.read.candidate, each.identity
    order = candidate.order
    if order is None or identity is None or order.external_order_id:  # known by its order id
        return candidate
    claim = claims.get(identity.key)
    reference = identity.key.hex() if claim is None else claim.reference(identity.key)
    return msgspec.structs.replace(candidate, reference=reference)


async def _ahead(
    chunks: Generator[Sequence[_Read], None, None], threads: ReadingThreads
) -> AsyncGenerator[Sequence[_Read], None]:
    """Yield chunks, and read the next one in a thread while one is being imported."""

    def read() -> Sequence[_Read] | None:
        return next(chunks, None)

    coming = asyncio.create_task(threads.run(read))
    try:
        # Shielded: a thread goes on when its task is cancelled, and has to be waited for.
        while (chunk := await asyncio.shield(coming)) is not None:
            coming = asyncio.create_task(threads.run(read))
            yield chunk
    finally:
        # The caller closes the file, and a thread may still be reading it.
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()
            await asyncio.to_thread(chunks.close)
