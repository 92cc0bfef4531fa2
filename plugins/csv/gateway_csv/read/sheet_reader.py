"""Reads the rows of a spreadsheet; runs in the sandbox (``gateway.sandbox.reader``).

It yields ``{"read": name, "visible": [names], "others": [names]}`` first, then ``[number, cells,
is_hidden]`` for each row that isn't blank. A date is ``{"date": …}``; a formula that was saved
without its value is ``{"formula": 1}``. A number whose cell format shows leading zeros comes as the
text that the format shows. The facts that calamine leaves out (hidden rows, formats, formulas) are
read from the sheet's own XML, and only if there are any.
"""

import datetime as dt
import hashlib
import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn
from xml.etree import ElementTree as ET

import python_calamine

_ROW: Final = re.compile(rb"<(?:\w+:)?row\b([^>]*)>")
_CELL: Final = re.compile(rb"<(?:\w+:)?c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
_PLACE: Final = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_ZIPPED: Final = b"PK"
_SHEETS: Final = "xl/worksheets/"
_BLOCK_BYTES: Final = 256 * 1024
_PLACE_BYTES: Final = 16
_ROW_NUMBER: Final = re.compile(rb'\br="([0-9]{1,7})"')
_STYLE: Final = re.compile(rb'\bs="([0-9]{1,6})"')
_VALUE: Final = re.compile(rb"<(?:\w+:)?(?:v|is|t)\b[^>]*>[^<]")
_FORMULA: Final = re.compile(rb"<(?:\w+:)?f\b")
_HIDDEN: Final = re.compile(rb'\bhidden="(?:1|true)"')
_ZEROS: Final = re.compile(r"0{2,15}|0{3,5}[-\\ ]+0{2,4}")
_FILTERED: Final = re.compile(
    rb"<table:table-row\b(?=[^>]*table:visibility=\"(?:collapse|filter)\")[^>]*>"
)
_ODS_ROW: Final = re.compile(rb"<table:table-row\b([^>]*)>")
_REPEATED: Final = re.compile(rb'table:number-rows-repeated="([0-9]{1,7})"')


class _Extras(NamedTuple):
    """The facts that calamine leaves out, by row and column from 1."""

    hidden: frozenset[int] = frozenset()
    formats: Mapping[tuple[int, int], str] = {}
    formulas: frozenset[tuple[int, int]] = frozenset()


def read(
    content: bytes, refuse: Callable[[str], NoReturn], most_cells: str, wanted: str = ""
) -> Iterator[Any]:
    """Yield the rows of a visible sheet: the first that has any, or the one that is wanted.

    ``most_cells`` bounds the rectangle from a sheet's first cell to its last; ``wanted`` is the
    SHA-256 of a name. Refuses with ``far`` beyond that, with ``no_sheet`` where none has the
    name, with ``damaged`` what can't be opened. A zip archive is unpacked into nothing before:
    ``lies`` where a member is not what it claims to be, ``packed`` where it can't be unpacked.
    """
    _look_over(content, int(most_cells), refuse)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        visible = _visible(book)
        names = [book.sheets_metadata[index].name for index in visible]
        sheet, others = _named(book, names, wanted) if wanted else _first(book, visible)
        if wanted and sheet is None:
            refuse("no_sheet")
        yield {"read": sheet and sheet.name, "visible": names, "others": others}
        if _cells(sheet) > int(most_cells):
            refuse("far")
        if sheet is not None:
            yield from _rows(sheet, _extras(content, sheet.name))
    except (python_calamine.CalamineError, ValueError, OverflowError):
        refuse("damaged")


def _look_over(content: bytes, most_cells: int, refuse: Callable[[str], NoReturn]) -> None:
    """Unpack each member: ``zipfile`` stops at the declared size, and compares checksums."""
    if not content.startswith(_ZIPPED):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if _reach(archive, member) > most_cells:
                    refuse("far")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError):
        refuse("lies")
    except (NotImplementedError, RuntimeError):  # zipfile's: an odd compression, a password
        refuse("packed")


def _reach(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return how many cells a sheet's rectangle has; 0 for what is no sheet of an .xlsx."""
    is_sheet = member.filename.startswith(_SHEETS)
    rows = columns = 0
    rest = b""
    with archive.open(member) as content:
        while block := content.read(_BLOCK_BYTES):
            if not is_sheet:
                continue
            for letters, number in _PLACE.findall(rest + block):
                rows = max(rows, int(number))
                columns = max(columns, _column_number(letters))
            rest = block[-_PLACE_BYTES:]
    return rows * columns


def _rows(sheet: python_calamine.CalamineSheet, extras: _Extras) -> Iterator[Any]:
    indent = [None] * (sheet.start[1] if sheet.start else 0)
    has_marks = bool(extras.formats or extras.formulas)
    for number, cells in enumerate(sheet.iter_rows(), 1):
        # One cell far down has a million blank rows above it.
        row = indent + [_plain(each) for each in cells]
        if has_marks:
            row = [_marked(each, number, place, extras) for place, each in enumerate(row, 1)]
        if any(each is not None for each in row):
            yield [number, row, number in extras.hidden]


def _marked(cell: Any, row: int, column: int, extras: _Extras) -> Any:
    if cell is None and (row, column) in extras.formulas:
        return {"formula": 1}
    zeros = extras.formats.get((row, column))
    if zeros is None or isinstance(cell, str | dict | bool) or cell is None or cell != int(cell):
        return cell
    digits = str(int(cell)).zfill(zeros.count("0"))
    for place, mark in enumerate(zeros):
        if mark != "0":
            digits = f"{digits[:place]}{mark}{digits[place:]}"
    return digits


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date):
        return {"date": cell.isoformat()}
    if isinstance(cell, dt.time | dt.timedelta):
        return str(cell)
    return None if cell == "" else cell


def _visible(book: python_calamine.CalamineWorkbook) -> list[int]:
    """Return the places of the visible sheets."""
    return [
        index
        for index, each in enumerate(book.sheets_metadata)
        if each.visible == python_calamine.SheetVisibleEnum.Visible
        and each.typ == python_calamine.SheetTypeEnum.WorkSheet
    ]


def _named(
    book: python_calamine.CalamineWorkbook, names: list[str], wanted: str
) -> tuple[python_calamine.CalamineSheet | None, list[str]]:
    """Return the sheet whose name has the digest ``wanted``; none is left out by mistake."""
    name = next((each for each in names if _digest(each) == wanted), None)
    return (None if name is None else book.get_sheet_by_name(name)), []


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _first(
    book: python_calamine.CalamineWorkbook, visible: list[int]
) -> tuple[python_calamine.CalamineSheet | None, list[str]]:
    """Return the first visible sheet that has anything on it, and the names of the other ones."""
    sheets = (book.get_sheet_by_index(index) for index in visible)
    filled = next(((place, each) for place, each in enumerate(sheets) if each.height), None)
    if filled is None:
        return None, []
    place, sheet = filled
    return sheet, [book.sheets_metadata[index].name for index in visible[place + 1 :]]


def _cells(sheet: python_calamine.CalamineSheet | None) -> int:
    """Count the cells from the first one to the last."""
    if sheet is None or sheet.end is None:
        return 0
    row, column = sheet.end
    return (row + 1) * (column + 1)


def _extras(content: bytes, name: str) -> _Extras:
    """Read the file itself; parts that can't be understood are ignored."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            if "content.xml" in names:
                return _of_ods(archive.read("content.xml"), name)
            if "xl/workbook.xml" not in names:
                return _Extras()
            path = _sheet_path(archive, name)
            return _Extras() if path is None else _of_xlsx(archive.read(path), _styles(archive))
    except (zipfile.BadZipFile, ET.ParseError, KeyError, UnicodeError):
        return _Extras()


def _sheet_path(archive: zipfile.ZipFile, name: str) -> str | None:
    relation = None
    for each in ET.fromstring(archive.read("xl/workbook.xml")).iter():  # noqa: S314 - sandboxed
        if each.tag.endswith("}sheet") and each.get("name") == name:
            relation = next((it for key, it in each.items() if key.endswith("}id")), None)
    links = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314 - sandboxed
    for each in links:
        if each.get("Id") == relation:
            target = each.get("Target", "")
            path = target[1:] if target.startswith("/") else posixpath.join("xl", target)
            return posixpath.normpath(path)
    return None


def _styles(archive: zipfile.ZipFile) -> dict[int, str]:
    """Return the formats that show leading zeros, by the number of the cell style."""
    if "xl/styles.xml" not in archive.namelist():
        return {}
    root = ET.fromstring(archive.read("xl/styles.xml"))  # noqa: S314 - sandboxed
    codes: dict[str, str] = {}
    found: dict[int, str] = {}
    for each in root.iter():
        if each.tag.endswith("}numFmt"):
            code = each.get("formatCode", "").split(";")[0].replace('"', "").replace("\\", "")
            if _ZEROS.fullmatch(code):
                codes[each.get("numFmtId", "")] = code
        if each.tag.endswith("}cellXfs"):
            for style, xf in enumerate(each):
                if xf.get("numFmtId", "") in codes:
                    found[style] = codes[xf.get("numFmtId", "")]
    return found


def _of_xlsx(xml: bytes, styles: Mapping[int, str]) -> _Extras:
    hidden = frozenset(_hidden_rows(xml)) if b"hidden=" in xml else frozenset()
    if not styles and not _FORMULA.search(xml):
        return _Extras(hidden)
    formats: dict[tuple[int, int], str] = {}
    formulas: set[tuple[int, int]] = set()
    for match in _CELL.finditer(xml):
        place = _PLACE.search(match[1])
        if place is None:
            continue
        at = int(place[2]), _column_number(place[1])
        style = _STYLE.search(match[1])
        if style is not None and int(style[1]) in styles:
            formats[at] = styles[int(style[1])]
        inside = match[2] or b""
        if _FORMULA.search(inside) and not _VALUE.search(inside):
            formulas.add(at)
    return _Extras(hidden, formats, frozenset(formulas))


def _hidden_rows(xml: bytes) -> Iterator[int]:
    number = 0
    for match in _ROW.finditer(xml):
        place = _ROW_NUMBER.search(match[1])
        number = int(place[1]) if place else number + 1
        if _HIDDEN.search(match[1]):
            yield number


def _of_ods(xml: bytes, name: str) -> _Extras:
    if not _FILTERED.search(xml):
        return _Extras()
    start = xml.find(f'table:name="{name}"'.encode())
    end = xml.find(b"</table:table>", start)
    number = 0
    hidden: set[int] = set()
    for match in _ODS_ROW.finditer(xml, max(start, 0), end if end >= 0 else len(xml)):
        repeated = _REPEATED.search(match[1])
        count = int(repeated[1]) if repeated else 1
        if _FILTERED.match(match[0]):
            hidden.update(range(number + 1, number + min(count, 100_000) + 1))
        number += count
    return _Extras(frozenset(hidden))


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
