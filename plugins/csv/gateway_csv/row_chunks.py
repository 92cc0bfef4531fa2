"""The rows of a file as orders, some at a time: read in a thread, or in a process of their own.

Two threads of one interpreter take turns, so that reading a file and storing its orders take as
long together as one after the other. On a machine of several cores the rows of a large text file
are therefore converted in the sandbox, while this process stores the rows before them. A small file
isn't worth the start of an interpreter.
"""

import io
import logging
import math
import os
import pickle
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

import msgspec

from gateway.plugin import (
    FileTooDemanding,
    FileTooSlow,
    InvalidInput,
    ReaderCrashed,
    SandboxLimits,
    SandboxReader,
    TooLarge,
    Unavailable,
    read_in_sandbox,
)
from gateway_csv.bags import bagged, can_hold_bags
from gateway_csv.mapping import Reading, ReadRow, read_row
from gateway_csv.read.rows import Row
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.read.text import TextForm
from gateway_csv.settings import BagsBy, CsvSettings

_log = logging.getLogger(__name__)

LARGE_BYTES: Final = 3_000_000
MOST_BYTES: Final = 250_000_000
"""The process holds the whole file in memory; a thread reads a larger one piece by piece."""
_ROWS_AT_ONCE: Final = 1000
_LENGTH_BYTES: Final = 8
_SCRIPT: Final = Path(__file__).with_name("row_reader.py")
_TOO_DEMANDING: Final = "The file takes too much memory: split it, and import the parts."
_TOO_SLOW: Final = "The file takes too long to read: split it, and import the parts."
_ENDED: Final = "The process that reads the file was ended."


class _TextRow(Row):
    """A row of a text file."""

    cells: Sequence[str | None]


class _ReadTextRow(ReadRow):
    """A read row of a text file."""

    row: _TextRow
    members: tuple[_TextRow, ...]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[_ReadTextRow])


class _Task(NamedTuple):
    """The settings and decisions that the process gets before the file."""

    settings: CsvSettings
    options: ImportOptions
    form: TextForm
    reading: Reading
    by: BagsBy


def row_chunks(table: Table, reading: Reading, by: BagsBy) -> Iterator[Sequence[ReadRow]]:
    """Yield the rows that are orders; a bag is its first row, with the others as its members.

    Raises ``InvalidInput``, ``TooLarge`` or ``Unavailable``.
    """
    is_large = table.form is not None and LARGE_BYTES < table.size <= MOST_BYTES
    if is_large and (os.cpu_count() or 1) > 1:
        return _from_process(table, reading, by)
    return _read(table, reading, by)


def _read(table: Table, reading: Reading, by: BagsBy) -> Iterator[Sequence[ReadRow]]:
    reads: Iterator[ReadRow] = (read_row(row, reading) for row in table.orders(reading.layout))
    if can_hold_bags(reading, by):
        reads = bagged(reads, reading, by)
    while some := list(islice(reads, _ROWS_AT_ONCE)):
        yield some


def _from_process(table: Table, reading: Reading, by: BagsBy) -> Iterator[Sequence[ReadRow]]:
    assert table.form is not None  # noqa: S101 - a text file has one
    settings = table.settings
    task = _pickled(_Task(settings, table.options, table.form, reading, by))
    limits = SandboxLimits(
        in_background=True,
        cpu_seconds=math.ceil(settings.max_read_seconds),
        item_bytes=4 * settings.max_file_bytes,
    )
    sent = _Sent(len(task).to_bytes(_LENGTH_BYTES) + task, table.file)
    try:
        for item in read_in_sandbox(SandboxReader(_SCRIPT, (), limits), sent):
            yield _DECODER.decode(item)
    except FileTooDemanding:
        raise TooLarge(_TOO_DEMANDING) from None
    except FileTooSlow:
        raise InvalidInput(_TOO_SLOW) from None
    except ReaderCrashed as error:  # the file was read to its end before
        _log.error("the process that reads a file ended: %s", error.cause)
        raise Unavailable(_ENDED) from None


def _pickled(task: _Task) -> bytes:
    written = io.BytesIO()
    pickler = pickle.Pickler(written)
    pickler.dispatch_table = {MappingProxyType: lambda each: (dict, (dict(each),))}
    pickler.dump(task)
    return written.getvalue()


class _Sent:
    """A task, and the file behind it."""

    def __init__(self, task: bytes, file: BinaryIO) -> None:
        self._task = io.BytesIO(task)
        self._file = file

    def seek(self, offset: int, /) -> int:
        """Start from the beginning."""
        self._file.seek(offset)
        return self._task.seek(offset)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        return self._task.read(size) or self._file.read(size)


class _Behind(io.BytesIO):
    """The file behind a task, which isn't copied."""

    def __init__(self, content: bytes, begin: int) -> None:
        super().__init__(content)
        self._begin = begin

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a place in the file."""
        return super().seek(offset + self._begin if whence == os.SEEK_SET else offset, whence)


def chunks_sent(content: bytes) -> Iterator[bytes]:
    """Yield the encoded chunks for what :func:`row_chunks` sends: the process's side."""
    begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES])
    task: _Task = pickle.loads(content[_LENGTH_BYTES:begin])  # noqa: S301 - the gateway wrote it
    table = Table(_Behind(content, begin), task.settings, task.options)
    table.form = task.form
    return map(_ENCODER.encode, _read(table, task.reading, task.by))
