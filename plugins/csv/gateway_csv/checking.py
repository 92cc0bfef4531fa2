"""A check: a file is read and previewed, and its reading is stored to be corrected."""

import re
from collections.abc import Sequence
from typing import BinaryIO, Final

from msgspec.structs import replace

from gateway.plugin import InvalidInput
from gateway_csv.check_schema import DatesOut, QuestionOut, RepairOut, RowOut
from gateway_csv.columns.headers import meaning_of
from gateway_csv.columns.reading import Choices, Column, DoubtfulColumns, labels_of
from gateway_csv.details import FoundColumn, Understood, question_of
from gateway_csv.importer import Importer
from gateway_csv.jobs import Hooks, Job
from gateway_csv.mapping import Reading
from gateway_csv.read.layout import cell_at
from gateway_csv.read.rows import Row, column_letters
from gateway_csv.read.table import Table
from gateway_csv.rejected import Rejection
from gateway_csv.report import Report
from gateway_csv.schema import RowProblem

MOST_REPAIRS: Final = 50
_ROWS_LISTED: Final = 100
_SAMPLE_CHARACTERS: Final = 60
_NUMBERS: Final = re.compile(r"\d+")
_SAMPLES: Final = 2


class Check:
    """One check of a file: its results while it runs, and at its end."""

    def __init__(self, importer: Importer, job: Job) -> None:
        self._importer = importer
        self._job = job
        self._repairs: dict[tuple[str | None, str | None, str, str | None], RepairOut] = {}
        self._letters: dict[str, str] = {}
        self.understood: Understood | None = None
        self.question: QuestionOut | None = None
        self.broken: dict[int, RowOut] = {}

    @property
    def repairs(self) -> list[RepairOut]:
        """The reasons why rows are rejected, the commonest first."""
        found = sorted(self._repairs.values(), key=lambda each: -each.count)
        return found[:MOST_REPAIRS]

    async def run(self, file: BinaryIO, hooks: Hooks) -> Report | None:
        """Rehearse the import; returns its report, ``None`` for a file that is refused."""

        async def rejected(rejections: Sequence[Rejection], reading: Reading) -> None:
            for row, problems in rejections:
                self._add(row, problems, reading)
            await hooks.rejected(rejections, reading)

        heard = Hooks(hooks.progress, rejected, understood=self._note_reading)
        try:
            return await self._importer.run(file, self._job, heard)
        except InvalidInput as refused:
            await self._note_refusal(file, refused)
            return None

    async def _note_reading(self, table: Table, reading: Reading) -> None:
        layout, dates = reading.layout, reading.dates
        found = [
            _found(column, [cell_at(row, column) for row in table.first_orders])
            for column in layout.columns
        ]
        self._letters = {each.header: each.letter for each in found}
        self.understood = _understood(table, layout.header.number, found)
        if dates is not None and "delivery_date" in layout.by_field:
            shown = DatesOut(
                order=reading.date_order,
                day_first=dates.day_first,
                month_first=dates.month_first,
                either=dates.either,
            )
            self.understood = replace(self.understood, dates=shown)

    async def _note_refusal(self, file: BinaryIO, refused: InvalidInput) -> None:
        """Store why the file is refused, and the columns that can be recognised nevertheless."""
        table = await self._importer.table(file, self._job)
        seen = await self._importer.threads.run(table.glimpse)
        asked = refused.headers if isinstance(refused, DoubtfulColumns) else ()
        letters: list[str] = []
        if seen is not None:
            header, below = seen
            found = _glimpsed(header, below, await self._importer.choices(self._job), asked)
            letters = [each.letter for each in found if each.asked]
            self.understood = _understood(table, header.number, found)
        self.question = question_of(refused.message, refused.details, letters)

    def _add(self, row: Row, problems: Sequence[RowProblem], reading: Reading) -> None:
        for problem in problems:
            # "as row 12" and "as row 40" count as one reason.
            said = _NUMBERS.sub("9", problem.message)
            key = (problem.column, problem.field, said, problem.fix)
            before = self._repairs.get(key)
            if before is None:
                self._repairs[key] = RepairOut(
                    column=self._letters.get(problem.column or ""),
                    header=problem.column,
                    field=problem.field,
                    message=problem.message,
                    expected=problem.expected,
                    found=problem.found,
                    fix=problem.fix,
                    count=1,
                    rows=[row.number],
                )
                continue
            rows = before.rows
            if len(rows) < _ROWS_LISTED and rows[-1] != row.number:
                rows.append(row.number)
            self._repairs[key] = replace(before, count=before.count + 1)
        if len(self.broken) < _ROWS_LISTED and row.number not in self.broken:
            cells = [_said(cell_at(row, column)) for column in reading.layout.columns]
            self.broken[row.number] = RowOut(row=row.number, cells=cells)


def _understood(table: Table, header_row: int, columns: list[FoundColumn]) -> Understood:
    form, sheets = table.form, table.sheets
    return Understood(
        sheet=None if sheets is None else sheets.read,
        sheets=[] if sheets is None else sheets.visible,
        encoding=None if form is None else form.encoding,
        delimiter=None if form is None else form.delimiter,
        header_row=header_row,
        dates=None,
        columns=columns,
    )


def _found(column: Column, cells: Sequence[object]) -> FoundColumn:
    letter = column_letters(column.place)
    return FoundColumn(
        letter=letter,
        header=column.header or f"column {letter}",
        field=column.field,
        how=column.how,
        why=column.why,
        looks_like=column.looks_like,
        asked=False,
        samples=[_said(each) for each in cells],
    )


def _glimpsed(
    header: Row, below: Sequence[Row], choices: Choices, asked: Sequence[str]
) -> list[FoundColumn]:
    """Return the columns of a refused file: the chosen field of each, or that of its header."""
    found: list[FoundColumn] = []
    for place, label in enumerate(labels_of(header.cells)):
        letter = column_letters(place)
        name = label or f"column {letter}"
        said = choices.of(name, name)
        meaning = meaning_of(name) if said is None and label else None
        is_ours = meaning is not None and meaning.role != "other"
        field = (meaning.field or None) if meaning is not None and is_ours else None
        column = Column(place, name, field)
        if said is not None:
            column = column._replace(field=said[0] or None, how=said[1])
        cells = [row.cells[place] if place < len(row.cells) else None for row in below[:_SAMPLES]]
        found.append(replace(_found(column, cells), asked=name in asked))
    return found


def _said(cell: object) -> str | None:
    text = "" if cell is None else str(cell).strip()
    return text[:_SAMPLE_CHARACTERS] or None
