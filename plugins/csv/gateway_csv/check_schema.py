"""The shapes of a check: the reading of a file, the question, the possible corrections."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.plugin import SiteCode
from gateway_csv.columns.headers import How
from gateway_csv.schema import ImportOut, State
from gateway_csv.settings import BagsBy, DayOrder

Delimiter = Literal[",", ";", "\t", "|"]
_Rows = Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=1000)]


class ColumnOut(msgspec.Struct, frozen=True, kw_only=True):
    """A column, and its recognised field."""

    letter: str
    header: Annotated[str, Meta(description="as `columns` names it")]
    field: Annotated[str | None, Meta(description="none: the column is ignored")]
    how: Annotated[How | None, Meta(description="by what it was recognised")]
    why: str
    looks_like: Annotated[str | None, Meta(description="a field that it may be, if you say so")]
    asked: Annotated[bool, Meta(description="whether the file is refused because of this column")]
    samples: Annotated[list[str | None], Meta(description="x and X: a letter, 9: a digit")]


class DatesOut(msgspec.Struct, frozen=True, kw_only=True):
    """The dates of a file: how many can be read in one order only, and how many in both."""

    order: Literal["day-first", "month-first"] | None
    day_first: int
    month_first: int
    either: int


class UnderstoodOut(msgspec.Struct, frozen=True, kw_only=True):
    """How the file was read. ``sheet`` is a spreadsheet's, ``encoding`` a text file's."""

    sheet: str | None
    sheets: list[str]
    encoding: str | None
    delimiter: str | None
    header_row: int
    dates: DatesOut | None
    columns: list[ColumnOut]


class QuestionOut(msgspec.Struct, frozen=True, kw_only=True):
    """Why the file is refused, and the columns (by letter) that have to be decided."""

    message: str
    details: list[str]
    field: str | None
    columns: list[str]


class RepairOut(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are rejected for one reason. ``rows`` are the first 100 of ``count``."""

    column: Annotated[str | None, Meta(description="the letter; none: about the whole row")]
    header: str | None
    field: str | None
    message: str
    expected: str | None
    found: str | None
    fix: str | None
    count: int
    rows: list[int]


class OptionsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The options for the file. ``cells`` counts the corrected cells."""

    site: str | None
    sender: str
    sheet: str | None
    encoding: str | None
    delimiter: str | None
    dates: DayOrder | None
    columns: dict[str, str]
    hidden: bool
    bags: BagsBy | None
    again: bool
    cells: int


class CheckOut(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check.

    ``report`` has every row in exactly one count. With ``question`` the file is refused until it is
    answered; then there is no report.
    """

    import_id: str
    state: State
    file_name: str | None
    file_bytes: int
    options: OptionsOut
    understood: UnderstoodOut | None
    question: QuestionOut | None
    report: ImportOut | None
    repairs: list[RepairOut]


class CellChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value for the same column of some rows; ``null`` takes a correction back."""

    rows: _Rows
    column: Annotated[str, Meta(pattern="^[A-Z]{1,3}$", description="its letter")]
    value: Annotated[str, Meta(max_length=1000)] | None


class CheckChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Corrections; missing fields stay unchanged, ``null`` lets the gateway decide again."""

    site: Annotated[str, SiteCode()] | UnsetType | None = UNSET
    sender: str | UnsetType = UNSET
    sheet: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET
    encoding: str | UnsetType | None = UNSET
    delimiter: Delimiter | UnsetType | None = UNSET
    dates: DayOrder | UnsetType | None = UNSET
    columns: dict[str, str | None] | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
    bags: BagsBy | UnsetType | None = UNSET
    again: bool | UnsetType = UNSET
    cells: Annotated[list[CellChange], Meta(max_length=1000)] | UnsetType = UNSET


class SampleOut(msgspec.Struct, frozen=True, kw_only=True):
    """A column's samples in full."""

    letter: str
    samples: list[str | None]


class RowOut(msgspec.Struct, frozen=True, kw_only=True):
    """A row that needs a repair, in full."""

    row: int
    cells: list[str | None]


class SamplesOut(msgspec.Struct, frozen=True, kw_only=True):
    """The samples, and the first 100 rows that need a repair, in full. The view is audited."""

    import_id: str
    columns: list[SampleOut]
    rows: list[RowOut]
