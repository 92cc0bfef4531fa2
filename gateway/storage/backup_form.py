"""What the records of a backup say: first the manifest, then rows, table by table.

The form knows nothing of the database that the rows came from, so what was saved from
SQLite can be put into PostgreSQL and the other way round.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime

from gateway.errors import SealError
from gateway.storage.backup.format import SealedWriter, records
from gateway.storage.crypto.keyring import Keyring

Progress = Callable[[str, int, int], None]
"""Told of a table, how many of its rows are done, and how many it has."""

# msgpack has none of these: they are written as text, and read again by the column's type.
_WRITTEN_AS_TEXT: Final = (datetime, date, time, timedelta, Decimal, UUID)


class SavedTable(msgspec.Struct, frozen=True):
    """A table in a backup: its columns in the order of the values, and how many rows."""

    name: str
    columns: tuple[str, ...]
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is: made by which version, when, from what, and what is in it.

    ``heads`` are the revisions of the schema, ``keyring`` is the fingerprint of the master
    key. ``left_out`` are revisions of plugins that were off: their tables are not in it.
    """

    version: str
    created_at: datetime
    dialect: str
    heads: tuple[str, ...]
    keyring: str
    tables: tuple[SavedTable, ...]
    left_out: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(table.rows for table in self.tables)


class _Rows(msgspec.Struct, frozen=True, array_like=True):
    table: int
    rows: list[list[Any]]


class BackupWriter:
    """Writes a manifest and then the rows that it announces."""

    def __init__(self, file: BinaryIO, keyring: Keyring, manifest: Manifest) -> None:
        self._sealed = SealedWriter(file, keyring)
        self._encoder = msgspec.msgpack.Encoder(decimal_format="string")
        self._sealed.write(self._encoder.encode(manifest))

    def rows(self, table: int, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows of the table of that place in the manifest."""
        self._sealed.write(self._encoder.encode(_Rows(table, [list(row) for row in rows])))

    def finish(self) -> None:
        """Write the end: without it the file counts as cut off."""
        self._sealed.finish()


class BackupReader:
    """Reads a backup from its beginning; ``manifest`` is there at once."""

    def __init__(self, file: BinaryIO, keyring: Keyring) -> None:
        self._records = records(file, keyring)
        first = next(self._records, None)
        if first is None:
            raise _inconsistent()
        self.manifest: Manifest = _decoded(first, Manifest)

    def rows(self) -> Iterator[tuple[SavedTable, list[list[Any]]]]:
        """Yield the rows some at a time; raises when there are not as many as announced."""
        tables = self.manifest.tables
        seen = [0] * len(tables)
        for record in self._records:
            some = _decoded(record, _Rows)
            if not 0 <= some.table < len(tables):
                raise _inconsistent()
            seen[some.table] += len(some.rows)
            yield tables[some.table], some.rows
        if seen != [table.rows for table in tables]:
            raise _inconsistent()


def verify(path: Path, keyring: Keyring) -> Manifest:
    """Read a whole backup and check every part of it; returns what it says of itself.

    Raises as :func:`gateway.storage.backup.format.records` does.
    """
    with path.open("rb") as file:
        reader = BackupReader(file, keyring)
        for _ in reader.rows():
            pass
    return reader.manifest


def fitting(value: Any, column: Column[Any]) -> Any:
    """Return a value that was read from a backup as the column takes it."""
    try:
        kind = column.type.python_type
    except NotImplementedError:  # SQLAlchemy knows no Python type for it: its values were text
        return value
    if kind not in _WRITTEN_AS_TEXT or value is None:
        return value
    read = msgspec.convert(value, kind, strict=False)
    if isinstance(column.type, DateTime) and isinstance(read, datetime):
        # SQLite keeps no zone; everything here is UTC.
        zoned = read if read.tzinfo else read.replace(tzinfo=UTC)
        return zoned if column.type.timezone else zoned.astimezone(UTC).replace(tzinfo=None)
    return read


def _decoded(record: bytes, into: type[Any]) -> Any:
    try:
        return msgspec.msgpack.decode(record, type=into)
    except msgspec.MsgspecError:
        raise _inconsistent() from None


def _inconsistent() -> SealError:
    return SealError(
        "The backup doesn't hold what it says: it was made by another version, or not finished. "
        "Nothing of it was used."
    )
