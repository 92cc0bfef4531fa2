"""Spreadsheets (.xlsx, .xls, .ods), row by row out of the sandbox."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from gateway.plugin import (
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    InvalidInput,
    ReaderCrashed,
    SandboxReader,
    TooLarge,
    read_in_sandbox,
)
from gateway_csv.read.archive import MOST_CELLS, TOO_FAR_OUT
from gateway_csv.read.rows import NO_VALUE, Cell, Row

_READER: Final = SandboxReader(Path(__file__).with_name("sheet_reader.py"), (str(MOST_CELLS),))
_ISO_DATE_CHARACTERS: Final = 10
_DAMAGED: Final = (
    "The spreadsheet can't be opened: it is damaged, or protected by a password. Save it again, "
    "without a password, and import that."
)
_TOO_DEMANDING: Final = "The spreadsheet takes too much memory: save it as CSV, or split it."
_TOO_SLOW: Final = "The spreadsheet takes too long to read: save it as CSV, or split it."


def sheet_rows(file: BinaryIO, note_other_sheets: Callable[[list[str]], None]) -> Iterator[Row]:
    """Yield the rows of the first visible sheet; raises ``InvalidInput`` or ``TooLarge``.

    ``note_other_sheets`` is called with the names of the visible sheets that are not read.
    """
    items = read_in_sandbox(_READER, file)
    try:
        for item in items:
            if isinstance(item, dict):
                note_other_sheets(item["others"])
            else:
                yield Row(item[0], [_cell(each) for each in item[1]], is_hidden=item[2])
    except FileTooDemanding:
        raise TooLarge(_TOO_DEMANDING) from None
    except FileTooSlow:
        raise InvalidInput(_TOO_SLOW) from None
    except FileUnreadable as error:
        if error.code == "far":
            raise TooLarge(TOO_FAR_OUT) from None
        raise InvalidInput(_DAMAGED) from None
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
