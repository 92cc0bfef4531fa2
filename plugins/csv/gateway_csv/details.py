"""The stored details of an upload: sealed, for as long as its file."""

import re
from collections.abc import Sequence
from typing import Final, Literal, Self

import msgspec

from gateway.plugin import Caller, Mode, Problem
from gateway_csv.check_schema import (
    CheckOut,
    ColumnOut,
    DatesOut,
    OptionsOut,
    QuestionOut,
    RepairOut,
    RowOut,
    SampleOut,
    SamplesOut,
    UnderstoodOut,
)
from gateway_csv.columns.cells import Unreadable, money_of, yes_or_no
from gateway_csv.columns.column_mappings import DEFAULT_SENDER, checked
from gateway_csv.columns.dates import could_be_date
from gateway_csv.columns.headers import How
from gateway_csv.jobs import Job
from gateway_csv.schema import ImportOut, State
from gateway_csv.settings import BagsBy, DayOrder

_SHOWN: Final = 24
_PRIORITIES: Final = frozenset({"routine", "urgent", "stat"})


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """The caller that requested an import or an undo, which runs in its name."""

    account_id: str
    mode: Mode
    actor: str
    kind: Literal["key", "person", "cli", "job"]
    name: str
    sites: list[str] | None

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """Return a caller's stored form."""
        return cls(
            account_id=caller.account_id,
            mode=caller.mode,
            actor=caller.actor,
            kind=caller.kind,
            name=caller.name,
            sites=None if caller.sites is None else sorted(caller.sites),
        )

    def caller(self) -> Caller:
        """Return the caller without permissions, which were checked at the request."""
        return Caller(
            self.account_id,
            self.mode,
            self.actor,
            None if self.sites is None else frozenset(self.sites),
            kind=self.kind,
            name=self.name,
        )


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options for a file. ``cells`` are corrected ones, by row, then by column from 0."""

    site: str | None = None
    sender: str = DEFAULT_SENDER
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    dates: DayOrder | None = None
    columns: dict[str, str] = {}
    hidden: bool = False
    bags: BagsBy | None = None
    again: bool = False
    cells: dict[int, dict[int, str]] = {}

    def job(self, import_id: str, caller: Caller, *, dry_run: bool) -> Job:
        """Return the import of a file with these options."""
        return Job(
            import_id=import_id,
            caller=caller,
            site=self.site,
            dry_run=dry_run,
            again=self.again,
            dates=self.dates,
            sender=self.sender,
            chosen=checked(self.columns),
            takes_hidden=self.hidden,
            bags=self.bags,
            sheet=self.sheet,
            encoding=self.encoding,
            delimiter=self.delimiter,
            cells=self.cells,
        )

    def out(self) -> OptionsOut:
        """Return the options for output."""
        return OptionsOut(
            site=self.site,
            sender=self.sender,
            sheet=self.sheet,
            encoding=self.encoding,
            delimiter=self.delimiter,
            dates=self.dates,
            columns=self.columns,
            hidden=self.hidden,
            bags=self.bags,
            again=self.again,
            cells=sum(map(len, self.cells.values())),
        )


class FoundColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column, and its first values, in clear."""

    letter: str
    header: str
    field: str | None
    how: How | None
    why: str
    looks_like: str | None
    asked: bool
    samples: list[str | None]

    def out(self) -> ColumnOut:
        """Return the column with its samples' shapes."""
        # A choice isn't evidence: names under "delivery date" stay shapes.
        field = None if self.how == "chosen" else self.field
        shapes = [None if each is None else shown_shape(each, field) for each in self.samples]
        return ColumnOut(
            letter=self.letter,
            header=self.header,
            field=self.field,
            how=self.how,
            why=self.why,
            looks_like=self.looks_like,
            asked=self.asked,
            samples=shapes,
        )


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """How a file was read."""

    sheet: str | None
    sheets: list[str]
    encoding: str | None
    delimiter: str | None
    header_row: int
    dates: DatesOut | None
    columns: list[FoundColumn]

    def out(self) -> UnderstoodOut:
        """Return it as it is shown."""
        return UnderstoodOut(
            sheet=self.sheet,
            sheets=self.sheets,
            encoding=self.encoding,
            delimiter=self.delimiter,
            header_row=self.header_row,
            dates=self.dates,
            columns=[each.out() for each in self.columns],
        )


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """All stored details of an import. ``broken`` are rows that need a repair, in clear."""

    asker: Asker
    file_name: str | None = None
    file_bytes: int = 0
    options: Options = Options()
    understood: Understood | None = None
    question: QuestionOut | None = None
    repairs: list[RepairOut] = []
    broken: list[RowOut] = []
    undo_by: Asker | None = None

    def check_out(self, import_id: str, state: State, report: ImportOut | None) -> CheckOut:
        """Return the check for output, without patient data."""
        return CheckOut(
            import_id=import_id,
            state=state,
            file_name=self.file_name,
            file_bytes=self.file_bytes,
            options=self.options.out(),
            understood=None if self.understood is None else self.understood.out(),
            question=self.question,
            report=report,
            repairs=self.repairs,
        )

    def samples_out(self, import_id: str) -> SamplesOut:
        """Return the samples and the rows that need a repair, in full."""
        columns = [] if self.understood is None else self.understood.columns
        return SamplesOut(
            import_id=import_id,
            columns=[SampleOut(letter=each.letter, samples=each.samples) for each in columns],
            rows=self.broken,
        )


def question_of(message: str, details: Sequence[Problem], columns: Sequence[str]) -> QuestionOut:
    """Return the refusal of a file as a question."""
    return QuestionOut(
        message=message,
        details=[each.message for each in details],
        field=next((each.field for each in details if each.field), None),
        columns=list(columns),
    )


def shown_shape(text: str, field: str | None) -> str:
    """Return a sample as every caller may see it: its shape.

    Dates, amounts, priorities and yes or no are shown: no list masks them either. Other values in
    such a column are shown as shapes.
    """
    is_open = {
        "delivery_date": could_be_date,
        "copay_amount": _is_amount,
        "priority": lambda each: each.casefold() in _PRIORITIES,
        "requires_signature": _is_answer,
    }.get(field or "")
    if is_open is not None and is_open(text):
        return text[:_SHOWN]
    shape = re.sub(r"[^\W\d_]", lambda each: "X" if each[0].isupper() else "x", text.strip())
    shape = re.sub(r"[^\x20-\x7e]", "?", re.sub(r"\d", "9", shape))
    return shape if len(shape) <= _SHOWN else f"{shape[: _SHOWN - 3]}..."


def _is_amount(text: str) -> bool:
    try:
        return money_of(text, decimal_comma=False) is not None
    except Unreadable:
        return False


def _is_answer(text: str) -> bool:
    try:
        return yes_or_no(text) is not None
    except Unreadable:
        return False
