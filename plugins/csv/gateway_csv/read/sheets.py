"""Spreadsheets (.xlsx, .xls, .ods), row by row from the sandbox."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from gateway.plugin import (
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    InvalidInput,
    ReaderCrashed,
    SandboxLimits,
    SandboxReader,
    TooLarge,
    read_in_sandbox,
)
from gateway_csv.read.archive import DAMAGED, MOST_CELLS, PACKED, TOO_FAR_OUT
from gateway_csv.read.rows import NO_VALUE, Cell, Row

_SCRIPT: Final = Path(__file__).with_name("sheet_reader.py")
# A row of the most columns and the longest cells, several bytes a character.
_LIMITS: Final = SandboxLimits(item_bytes=16_000_000, in_background=True)
_ISO_DATE_CHARACTERS: Final = 10
_DAMAGED: Final = (
    "The spreadsheet can't be opened: it is damaged, or protected by a password. Save it again, "
    "without a password, and import that."
)
_NO_SHEET: Final = "The spreadsheet has no visible sheet of that name: choose another one."
_REASONS: Final = {"no_sheet": _NO_SHEET, "lies": DAMAGED, "packed": PACKED}
_TOO_DEMANDING: Final = "The spreadsheet takes too much memory: save it as CSV, or split it."
_TOO_SLOW: Final = "The spreadsheet takes too long to read: save it as CSV, or split it."


class Sheets(NamedTuple):
    """The name of the sheet that is read, of all visible ones, and of those left out behind it."""

    read: str | None
    visible: list[str]
    others: list[str]


def sheet_rows(
    file: BinaryIO, note_sheets: Callable[[Sheets], None], wanted: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a visible sheet; raises ``InvalidInput`` or ``TooLarge``.

    That is the sheet called ``wanted``, or the first one with anything on it.
    """
    # A process's arguments are visible to every user of the machine, so the name goes as a digest.
    digest = "" if wanted is None else hashlib.sha256(wanted.encode()).hexdigest()
    items = read_in_sandbox(SandboxReader(_SCRIPT, (str(MOST_CELLS), digest), _LIMITS), file)
    try:
        for item in items:
            if isinstance(item, dict):
                note_sheets(Sheets(item["read"], item["visible"], item["others"]))
            else:
                yield Row(item[0], [_cell(each) for each in item[1]], is_hidden=item[2])
    except FileTooDemanding:
        raise TooLarge(_TOO_DEMANDING) from None
    except FileTooSlow:
        raise InvalidInput(_TOO_SLOW) from None
    except FileUnreadable as error:
        if error.code == "far":
            raise TooLarge(TOO_FAR_OUT) from None
        raise InvalidInput(_REASONS.get(error.code, _DAMAGED)) from None
    except ReaderCrashed:
        raise InvalidInput(_DAMAGED) from None


def _cell(value: Any) -> Cell:
    if not isinstance(value, dict):
        cell: Cell = value
        return cell
    if "formula" in value:
        return NO_VALUE
    text = value["date"]
    if len(text) == _ISO_DATE_CHARACTERS:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text)
