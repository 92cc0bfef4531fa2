"""Text tables: CSV, TSV and their kin, read row by row."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple

from gateway.plugin import InvalidInput
from gateway_csv.read.encoding import encoding_of
from gateway_csv.read.rows import Row

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE_ROWS: Final = 60
_BLOCK_BYTES: Final = 64 * 1024
# A table of the most columns and the longest cells there may be is not as wide as that.
_LINE_CHARACTERS: Final = 2_000_000
_HEADERS_LOOKED_AT: Final = 1000
# Excel's own way of naming the delimiter: a first line "sep=;".
_SEP: Final = "sep="
_SEP_CHARACTERS: Final = len(_SEP) + 1
_END: Final = "\x1fthe end\x1f"

Known = Callable[[Sequence[str]], int]
"""Counts the names of a row that are headers we know."""


class TextForm(NamedTuple):
    """How a text table is written."""

    encoding: str
    delimiter: str
    skips_first: bool = False
    """Whether its first line only names the delimiter."""


def form_of(file: BinaryIO, known: Known) -> TextForm:
    """Find out how a text table is written; ``known`` tells headers from other rows."""
    encoding = encoding_of(file)
    first = next(_lines(file, encoding), "").strip().lower()
    if first.startswith(_SEP) and len(first) <= _SEP_CHARACTERS:
        return TextForm(encoding, first[len(_SEP) :] or "\t", skips_first=True)

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
    """Yield the rows of a text table; raises ``InvalidInput`` where it can't be read on."""
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
    lines = _lines(file, form.encoding)
    if form.skips_first:
        next(lines, None)
    offset = 2 if form.skips_first else 1
    reader = csv.reader(_ended(lines), delimiter=form.delimiter)
    before: Row | None = None
    for number, cells in enumerate(reader, offset):
        if before is not None:
            yield before
        before = Row(number, cells)
    # Where a quotation mark is never closed, the end is swallowed by the cell it opened.
    if before is not None and before.cells != [_END]:
        raise InvalidInput(
            f"A quotation mark that opens in row {before.number} is never closed: close it or "
            "take it out, and import the file again."
        )


class _Lent(io.RawIOBase):
    """A file that is somebody else's: a reader that is dropped doesn't close it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Say that it can be read, and nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is into ``buffer``."""
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _lines(file: BinaryIO, encoding: str) -> Iterator[str]:
    file.seek(0)
    longest = _LINE_CHARACTERS
    for line in io.TextIOWrapper(
        io.BufferedReader(_Lent(file), _BLOCK_BYTES), encoding, newline=""
    ):
        if len(line) > longest:
            raise InvalidInput(
                f"A line of the file has more than {longest} characters: it is no table, or the "
                "ends of its lines got lost. Export it again."
            )
        yield line.replace("\0", "") if "\0" in line else line


def _ended(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        # Only the last line may lack its end.
        yield line if line.endswith(("\n", "\r")) else f"{line}\n"
    yield _END
