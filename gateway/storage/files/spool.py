"""A temporary file that only this object can read.

Files on their way into or out of the sandbox are on the disk in pieces, each sealed with a key that
is in memory only. The file has no name where the system supports that, and the file that a killed
process leaves behind is unreadable.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import TooLarge, Unavailable
from gateway.model.file import FileKind

PIECE_BYTES: Final = 64 * 1024 - 43
"""The bytes of a piece; 64 KB once it is sealed in a row."""

_TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class SealedSpool:
    """Bytes that are written once and then read any number of times, in pieces.

    ``most_bytes`` limits the whole. Blocks like a file: call it in a thread.
    """

    def __init__(self, most_bytes: int, folder: Path | None = None) -> None:
        self._most_bytes = most_bytes
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._folder = folder if folder is not None and folder.is_dir() else None
        self._file: IO[bytes] | None = None
        self._pending = bytearray()
        self._digest = hashlib.sha256()
        self._read_from: Iterator[bytes] = iter(())
        self._left = b""
        self.size = 0
        self.head = b""
        """The first bytes, by which a file's type is known."""

    def write(self, data: bytes) -> None:
        """Add ``data``; raises ``TooLarge`` beyond the limit, ``Unavailable`` on a full disk."""
        self.size += len(data)
        if self.size > self._most_bytes:
            raise TooLarge(f"The file is larger than {self._most_bytes // 1_000_000} MB.")
        if len(self.head) < _TAG_BYTES:
            self.head = (self.head + data)[:_TAG_BYTES]
        self._digest.update(data)
        self._pending += data
        while len(self._pending) >= PIECE_BYTES:
            self._put(PIECE_BYTES)

    def finish(self) -> bytes:
        """End the writing; returns the SHA-256 of the whole."""
        if self._pending:
            self._put(len(self._pending))
        return self._digest.digest()

    @property
    def pieces_count(self) -> int:
        """The number of pieces."""
        return -(-self.size // PIECE_BYTES)

    def pieces(self) -> Iterator[bytes]:
        """Yield the pieces, from the first; each but the last has ``PIECE_BYTES``."""
        for number in range(self.pieces_count):
            yield self._get(number)

    def seek(self, _start: int = 0, /) -> int:
        """Start reading from the beginning."""
        self._read_from, self._left = self.pieces(), b""
        return 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size`` and at most a piece; empty at the end."""
        found = self._left or next(self._read_from, b"")
        if size < 0:
            size = len(found)
        found, self._left = found[:size], found[size:]
        return found

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, count: int) -> None:
        number = (self.size - len(self._pending)) // PIECE_BYTES
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close
            self._file.seek(0, os.SEEK_END)
            self._file.write(
                self._cipher.encrypt(_nonce(number), bytes(self._pending[:count]), None)
            )
        except OSError as error:
            raise Unavailable(
                "The disk has no room for the file; nothing was stored. Send it again later."
            ) from error
        del self._pending[:count]

    def _get(self, number: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(number * (PIECE_BYTES + _TAG_BYTES))
        return self._cipher.decrypt(_nonce(number), self._file.read(PIECE_BYTES + _TAG_BYTES), None)


def _nonce(number: int) -> bytes:
    """Return a piece's nonce: its number, used once under a key that is used for one file."""
    return number.to_bytes(_NONCE_BYTES)


class NewFile(NamedTuple):
    """A file to store: its clean content, the digest of the sent file, and its report."""

    kind: FileKind
    spool: SealedSpool
    digest: bytes
    event_ref: str | None = None
