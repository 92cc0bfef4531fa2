"""Spreadsheets (.xlsx, .xls, .ods), row by row out of a process of their own."""

import errno
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from gateway.plugin import InvalidInput, TooLarge
from gateway_csv.read.archive import MOST_CELLS, TOO_FAR_OUT
from gateway_csv.read.rows import Cell, Row

_SCRIPT: Final = Path(__file__).with_name("sheet_process.py")
_DEADLINE_SECONDS: Final = 120.0
_ISO_DATE_CHARACTERS: Final = 10
_DAMAGED: Final = (
    "The spreadsheet can't be opened: it is damaged, or protected by a password. Save it anew, "
    "without a password, and import that."
)
_ENDS: Final[Mapping[str, tuple[type[InvalidInput], str]]] = {
    "damaged": (InvalidInput, _DAMAGED),
    "far": (TooLarge, TOO_FAR_OUT),
    "memory": (
        TooLarge,
        "The spreadsheet takes too much memory: save it as CSV, or split it.",
    ),
}


def sheet_rows(file: BinaryIO, tell_others: Callable[[int], None]) -> Iterator[Row]:
    """Yield the rows of the first visible sheet; raises ``InvalidInput`` or ``TooLarge``.

    ``tell_others`` is told at the end how many sheets come after it and were not read.
    """
    decoder = msgspec.json.Decoder()
    with _process() as (process, deadline):
        file.seek(0)
        try:
            # It reads everything before it writes anything, so neither waits for the other.
            shutil.copyfileobj(file, process.stdin)
            process.stdin.close()
        except OSError as error:
            if not _nobody_reads(error):
                raise
            raise InvalidInput(_DAMAGED) from None
        end = "damaged"  # unless it lives to say something else
        for line in process.stdout:
            deadline.cancel()  # it has read everything; from now on it waits for us
            try:
                said = decoder.decode(line)
            except msgspec.DecodeError:  # it was killed in the middle of a line
                break
            if isinstance(said, dict):
                end = said["end"]
                tell_others(said.get("more", 0))
                break
            yield Row(said[0], [_cell(each) for each in said[1]])
    if end != "read":
        kind, message = _ENDS.get(end, _ENDS["damaged"])
        raise kind(message)


@contextmanager
def _process() -> Iterator[tuple[Any, threading.Timer]]:
    process = subprocess.Popen(  # noqa: S603 - our own script, run by our own interpreter
        [sys.executable, "-I", str(_SCRIPT), str(MOST_CELLS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    deadline = threading.Timer(_DEADLINE_SECONDS, process.kill)
    deadline.daemon = True
    deadline.start()
    try:
        yield process, deadline
    finally:
        deadline.cancel()
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError as error:
                    if not _nobody_reads(error):
                        raise
                    # What was left to say has nobody to hear it.
        process.wait()


def _nobody_reads(error: OSError) -> bool:
    """Say whether a pipe's other end is gone, which Windows calls an invalid argument."""
    return isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL


def _cell(said: Any) -> Cell:
    if not isinstance(said, dict):
        cell: Cell = said
        return cell
    text = said["date"]
    if len(text) == _ISO_DATE_CHARACTERS:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text)
