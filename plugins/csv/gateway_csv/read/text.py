"""Text tables: CSV, TSV and their kin, read row by row."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple

from gateway.plugin import InvalidInput
from gateway_csv.read.encoding import MIXED, decoded, encoding_of
from gateway_csv.read.rows import Row

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE_ROWS: Final = 60
_BLOCK_BYTES: Final = 64 * 1024
# Wider than a table with the maximum of columns and the longest cells.
_LINE_CHARACTERS: Final = 2_000_000
_HEADERS_LOOKED_AT: Final = 1000
# Excel's own way of naming the delimiter: a first line "sep=;".
_SEP: Final = "sep="
_SEP_CHARACTERS: Final = len(_SEP) + 1
_FORMULA_TEXT: Final = re.compile(r'="((?:[^"]|"")*)"')
_NUMBERED: Final = re.compile(r"\d+[A-Za-z]? +[^\W\d_]")
_OF_A_ROW: Final = re.compile(r"(?:\d{3}-\d{3}|\d{4}-\d{2})-\d{2,4}|[^\s@]+@[^\s@]+\.[a-z]+")
"""A telephone number, a date or an e-mail address that is a whole cell."""
_FEWEST_PARTS: Final = 2
_STRAY_MARK: Final = "a quotation mark is in the middle of a cell"
_END: Final = "\x1fthe end\x1f"

Known = Callable[[Sequence[str]], int]
"""Counts the names of a row that are headers we know."""


class TextForm(NamedTuple):
    """The form of a text table."""

    encoding: str
    delimiter: str
    skips_first: bool = False
    """Whether its first line only names the delimiter."""


def form_of(
    file: BinaryIO, known: Known, *, encoding: str | None = None, delimiter: str | None = None
) -> TextForm:
    """Find out the form of a text table; ``known`` counts a row's known headers.

    ``encoding`` and ``delimiter`` are the sender's, if given.
    """
    encoding = encoding_of(file, encoding)
    first = next(_lines(file, encoding), "").strip().lower()
    if first.startswith(_SEP) and len(first) <= _SEP_CHARACTERS:
        said = delimiter or first[len(_SEP) :] or "\t"
        return TextForm(encoding, said, skips_first=True)
    if delimiter is not None:
        return TextForm(encoding, delimiter)

    def fits(delimiter: str) -> tuple[int, int, int]:
        form = TextForm(encoding, delimiter)
        try:
            sample = [row.cells for row in islice(_parsed(file, form), _SAMPLE_ROWS)]
        except (csv.Error, InvalidInput):
            return (0, 0, 0)
        widths = [len(cells) for cells in sample if len(cells) > 1]
        usual = max(set(widths), key=widths.count, default=0)
        headers = max(
            (known([str(each) for each in cells[:_HEADERS_LOOKED_AT]]) for cells in sample),
            default=0,
        )
        return (headers, widths.count(usual), usual)

    return TextForm(encoding, max(DELIMITERS, key=fits))


def text_rows(file: BinaryIO, form: TextForm) -> Iterator[Row]:
    """Yield the rows of a text table; raises ``InvalidInput`` where reading can't continue."""
    number = 0
    try:
        for row in _parsed(file, form):
            number = row.number
            yield row
    except csv.Error:
        raise InvalidInput(
            f"The file can't be read past row {number}: a quotation mark may be missing there."
        ) from None


def _parsed(file: BinaryIO, form: TextForm) -> Iterator[Row]:
    lines = _Lines(_lines(file, form.encoding))
    if form.skips_first:
        next(lines, None)
    reader = csv.reader(lines, delimiter=form.delimiter, skipinitialspace=True, strict=True)
    sound = _soundness(form.delimiter)
    number, width = 1 + form.skips_first, 0
    while True:
        begun = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = _mended(lines.last, number, form, is_one_line=reader.line_num - begun == 1)
            cells = list(row.cells) if not row.fault else []  # type: ignore[arg-type]
            if row.fault:
                yield row
                number += 1
                continue
        if cells == [_END]:
            return
        if reader.line_num - begun > 1:
            _check_line_breaks(cells, number, width, form.delimiter)
        width = width or (len(cells) if len(cells) > 1 else 0)
        if reader.line_num - begun > 1 or '="' in lines.last:
            cells = [_formula_text(each) if each[:2] == '="' else each for each in cells]
        if '"' in lines.last and any('"' in each for each in cells):
            is_sound = reader.line_num - begun > 1 or sound(lines.last)
            yield Row(number, cells) if is_sound else Row(number, [], fault=_STRAY_MARK)
        else:
            yield Row(number, cells)
        number += 1


def _soundness(delimiter: str) -> Callable[[str], bool]:
    """Return a check of a line's marks: each opens or closes a cell, or is one of a pair."""
    mark = re.escape(delimiter)
    quoted = re.compile(rf'(?:(?<=^)|(?<={mark})) *=?"(?:[^"]|"")*" *(?={mark}|[\r\n]|$)')

    def judge(line: str) -> bool:
        return '"' not in quoted.sub("", line)

    return judge


def _formula_text(cell: str) -> str:
    """Remove the form by which Excel keeps a text from becoming a number: ``="0012345"``."""
    found = _FORMULA_TEXT.fullmatch(cell.strip())
    return cell if found is None else found[1]


def _mended(line: str, number: int, form: TextForm, *, is_one_line: bool) -> Row:
    """Read a line with wrong quotation marks, or return that it can't be read."""
    if len(line) > csv.field_size_limit():
        raise InvalidInput(
            f"The file can't be read past row {number - 1}: a quotation mark may be missing there."
        )
    if not is_one_line or _END in line:
        raise InvalidInput(
            f"A quotation mark that opens in row {number} is never closed, or closes in another "
            "row: close it or take it out, and import the file again."
        )
    # "5 Elm St" , "x": only spaces between the mark and the delimiter.
    closer = re.sub(rf'" +(?=[{re.escape(form.delimiter)}\r\n])', '"', line)
    try:
        cells = next(
            csv.reader([closer], delimiter=form.delimiter, skipinitialspace=True, strict=True)
        )
    except csv.Error:
        return Row(number, [], fault=_STRAY_MARK)
    return Row(number, cells)


def _check_line_breaks(cells: Sequence[str], number: int, width: int, delimiter: str) -> None:
    """Raise ``InvalidInput`` where a cell of several lines has swallowed other rows."""
    for cell in cells:
        for line in cell.splitlines()[1:]:
            parts = [each.strip() for each in line.split(delimiter)]
            has_street = bool(parts[0]) and any(map(_NUMBERED.match, parts[1:]))
            has_others = len(parts) > _FEWEST_PARTS and any(map(_OF_A_ROW.fullmatch, parts))
            if len(parts) >= max(width, 3) or has_street or has_others:
                raise InvalidInput(
                    f"A quotation mark that opens in row {number} is not closed there: a cell of "
                    "it has other rows in it. Close the mark or take it out, and import the file "
                    "again."
                )


class _Lent(io.RawIOBase):
    """A file that its owner closes, not a garbage-collected reader."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return that it is readable."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is into ``buffer``."""
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _lines(file: BinaryIO, encoding: str) -> Iterator[str]:
    file.seek(0)
    longest = _LINE_CHARACTERS
    buffered = io.BufferedReader(_Lent(file), _BLOCK_BYTES)
    for line in (
        _mixed_lines(buffered)
        if encoding == MIXED
        else io.TextIOWrapper(buffered, encoding, newline="")
    ):
        if len(line) > longest:
            raise InvalidInput(
                f"A line of the file has more than {longest} characters: it is no table, or the "
                "ends of its lines got lost. Export it again."
            )
        yield line.replace("\0", "") if "\0" in line else line


def _mixed_lines(file: Iterable[bytes]) -> Iterator[str]:
    for line in file:
        yield from io.StringIO(decoded(line), newline="")


class _Lines:
    """The lines of a file, each with its end, then :data:`_END`; ``last`` is the latest one."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._is_over = False
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        line = next(self._lines, None)
        if line is None:
            if self._is_over:
                raise StopIteration
            self._is_over, line = True, _END
        elif not line.endswith(("\n", "\r")):  # only the last one may lack its end
            line = f"{line}\n"
        self.last = line
        return line
