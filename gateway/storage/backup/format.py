"""The file of a backup: sealed records whose order can't be changed unnoticed.

The file begins with::

    16 bytes  "rx-gateway bkup" and the version of this form, 1
     8 bytes  fingerprint of the keyring, to tell a wrong key from damage
     2 bytes  number of the seal key, big-endian
    12 bytes  random: the first half of every nonce

and goes on with records, each::

     4 bytes  length of the rest, big-endian
     n bytes  AES-256-GCM ciphertext of the compressed record (zlib)
    16 bytes  tag

Nonces are those of XAES-256-GCM (:mod:`gateway.storage.crypto.encryption`). Their second half is 1
for the last record and 0 for all others, and the record's number: a missing, moved, repeated or
foreign record doesn't open, and neither does a shortened file (STREAM,
https://eprint.iacr.org/2015/189). The head of the file is associated data of every record. The last
record is empty.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from sqlalchemy import Column, DateTime

from gateway.errors import ConfigurationError, SealError, StorageError
from gateway.storage.crypto.encryption import ExtendedNonceCipher
from gateway.storage.crypto.keyring import Keyring, derived_key

_OWN_NAME: Final = re.compile(r"gateway-\d{8}T\d{6}Z\.backup")
Progress = Callable[[str, int, int], None]
"""Called with a table's name, the number of its finished rows, and of all its rows."""

# msgpack lacks these types: they are written as text, and read by the column's type.
_WRITTEN_AS_TEXT: Final = (datetime, date, time, timedelta, Decimal, UUID)


class SavedTable(msgspec.Struct, frozen=True):
    """A table in a backup: its columns in the order of the values, and its number of rows."""

    name: str
    columns: tuple[str, ...]
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """A backup's manifest: version, time, source and tables.

    ``heads`` are the revisions of the schema, ``keyring`` is the fingerprint of the master key.
    ``left_out`` are revisions of disabled plugins, whose tables are not in the backup.
    ``configuration`` is the text of gateway.toml without its secrets, if there was one.
    ``audit_head`` is the head of the saved audit trail.
    """

    version: str
    created_at: datetime
    dialect: str
    heads: tuple[str, ...]
    keyring: str
    tables: tuple[SavedTable, ...]
    left_out: tuple[str, ...] = ()
    configuration: str | None = None
    audit_head: str | None = None

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)


class _Rows(msgspec.Struct, frozen=True, array_like=True):
    table: int
    rows: list[list[Any]]


class BackupWriter:
    """Writes a manifest and then the rows that it lists."""

    def __init__(self, file: BinaryIO, keyring: Keyring, manifest: Manifest) -> None:
        self._sealed = SealedWriter(file, keyring)
        self._encoder = msgspec.msgpack.Encoder(decimal_format="string")
        self._sealed.write(self._encoder.encode(manifest))

    def rows(self, table: int, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows of the table at that place in the manifest."""
        self._sealed.write(self._encoder.encode(_Rows(table, [list(row) for row in rows])))

    def finish(self) -> None:
        """Write the end record: without it the file counts as incomplete."""
        self._sealed.finish()


class BackupReader:
    """Reads a backup from its beginning; ``manifest`` is available at once."""

    def __init__(self, file: BinaryIO, keyring: Keyring) -> None:
        self._records = records(file, keyring)
        first = next(self._records, None)
        if first is None:
            raise _inconsistent()
        self.manifest: Manifest = _decoded(first, Manifest)

    def rows(self) -> Iterator[tuple[SavedTable, list[list[Any]]]]:
        """Yield the rows in batches; raises when their number differs from the manifest."""
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
    """Read a whole backup and check every part of it; returns its manifest.

    Raises as :func:`gateway.storage.backup.format.records` does.
    """
    with path.open("rb") as file:
        reader = BackupReader(file, keyring)
        for _ in reader.rows():
            pass
    return reader.manifest


def column_value(value: Any, column: Column[Any]) -> Any:
    """Convert a value read from a backup to the column's type."""
    try:
        kind = column.type.python_type
    except NotImplementedError:  # SQLAlchemy knows no Python type for it: its values were text
        return value
    if kind not in _WRITTEN_AS_TEXT or value is None:
        return value
    read = msgspec.convert(value, kind, strict=False)
    if isinstance(column.type, DateTime) and isinstance(read, datetime):
        # SQLite stores no time zone; all times are UTC.
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
        "The backup's content doesn't match its manifest: another version made it, or it was not "
        "finished. "
        "Nothing of it was used."
    )


"""No record is larger; a longer length means damage."""

_NAME: Final = b"rx-gateway bkup"
_VERSION: Final = 1
_FINGERPRINT_BYTES: Final = 8
_SEAL_ID_BYTES: Final = 2
_RANDOM_BYTES: Final = 12
_HEAD_BYTES: Final = len(_NAME) + 1 + _FINGERPRINT_BYTES + _SEAL_ID_BYTES + _RANDOM_BYTES
_LENGTH_BYTES: Final = 4
_TAG_BYTES: Final = 16
_PURPOSE: Final = "rx-gateway backup v1"
# Sealed values can't be compressed; for other values, level 3 is nearly the best.
_COMPRESSION: Final = 3


MAX_RECORD_BYTES: Final = 256 * 1024 * 1024


class SealedWriter:
    """Writes records in order; without :meth:`finish` the file counts as incomplete."""

    def __init__(
        self, file: BinaryIO, keyring: Keyring, *, max_record_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        self._file = file
        self._max_record_bytes = max_record_bytes
        random = os.urandom(_RANDOM_BYTES)
        self._head = b"".join(
            (
                _NAME,
                bytes((_VERSION,)),
                bytes.fromhex(keyring.fingerprint()),
                keyring.active_id.to_bytes(_SEAL_ID_BYTES),
                random,
            )
        )
        self._cipher = _Cipher(keyring.seal_key(keyring.active_id), self._head)
        file.write(self._head)

    def write(self, record: bytes) -> None:
        """Write one record."""
        self._put(zlib.compress(record, _COMPRESSION), is_last=False)

    def finish(self) -> None:
        """Write the end record."""
        self._put(b"", is_last=True)

    def _put(self, content: bytes, *, is_last: bool) -> None:
        sealed = self._cipher.seal(content, is_last=is_last)
        if len(sealed) > self._max_record_bytes:
            raise StorageError("A row is too large for a backup: take it out, then try again.")
        self._file.write(len(sealed).to_bytes(_LENGTH_BYTES) + sealed)


def records(file: BinaryIO, keyring: Keyring) -> Iterator[bytes]:
    """Yield the checked records of a backup; raises at the end when one is missing.

    Raises ``StorageError`` when the file isn't a backup of a known format, ``ConfigurationError``
    when it was sealed with another master key, ``SealError`` when it is damaged.
    """
    head = file.read(_HEAD_BYTES)
    cipher = _Cipher(_key_for(head, keyring), head)
    while True:
        length = int.from_bytes(file.read(_LENGTH_BYTES))
        # One more byte: the file has to end after the last record.
        sealed = file.read(length) if _TAG_BYTES <= length <= MAX_RECORD_BYTES else b""
        if len(sealed) < max(length, _TAG_BYTES):
            raise _damaged()
        if length == _TAG_BYTES:
            cipher.open(sealed, is_last=True)
            if file.read(1):
                raise _damaged()
            return
        yield zlib.decompress(cipher.open(sealed, is_last=False))


class _Cipher:
    """Seals or opens records in sequence, each with the nonce of its number."""

    def __init__(self, seal_key: bytes, head: bytes) -> None:
        self._head = head
        self._random = head[-_RANDOM_BYTES:]
        self._cipher = ExtendedNonceCipher(derived_key(seal_key, _PURPOSE)).at(
            self._random + bytes(_RANDOM_BYTES)
        )
        self._number = 0

    def seal(self, content: bytes, *, is_last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(is_last=is_last), content, self._head)

    def open(self, sealed: bytes, *, is_last: bool) -> bytes:
        try:
            return self._cipher.decrypt(self._nonce(is_last=is_last), sealed, self._head)
        except InvalidTag:
            raise _damaged() from None

    def _nonce(self, *, is_last: bool) -> bytes:
        number = self._number.to_bytes(_RANDOM_BYTES - 1)
        self._number += 1
        return bytes((is_last,)) + number


def _key_for(head: bytes, keyring: Keyring) -> bytes:
    """Return the seal key that the head names; raises when it is missing."""
    if len(head) < _HEAD_BYTES or not head.startswith(_NAME):
        raise StorageError("This is no backup that gateway backup made.")
    version, rest = head[len(_NAME)], head[len(_NAME) + 1 :]
    if version != _VERSION:
        raise StorageError("The backup was made by a newer version: install that one to read it.")
    fingerprint = rest[:_FINGERPRINT_BYTES].hex()
    if fingerprint != keyring.fingerprint():
        raise ConfigurationError(
            f"The backup was sealed with another master key (fingerprint {fingerprint}, here is "
            f"{keyring.fingerprint()}): put the master.key that was kept with it into [gateway] "
            "data_dir, or set [security] master_key to it."
        )
    start = _FINGERPRINT_BYTES
    return keyring.seal_key(int.from_bytes(rest[start : start + _SEAL_ID_BYTES]))


def _damaged() -> SealError:
    return SealError(
        "The backup is damaged: part of it was changed or is missing. Nothing of it was used; "
        "take another copy of it, or an earlier backup."
    )


def own_backups(folder: Path) -> list[Path]:
    """Return the backups with a generated name, oldest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if _OWN_NAME.fullmatch(path.name))
