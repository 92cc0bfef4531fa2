"""Files of the watched folder, handled as untrusted.

Senders that may put files into the folder may put links there as well. So the gateway never follows
one: a claimed file is in ``working/``, which only the gateway enters, and counts only if it is a
regular file; files in ``done/`` and ``failed/`` are newly created.
"""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO, Final

# Windows has neither flag; creating a link there takes an administrator.
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)


def private_folder(path: Path) -> None:
    """Make a folder for the gateway alone; raises ``OSError`` when another user owns it."""
    real_folder(path)
    if sys.platform != "win32":
        path.chmod(0o700)


def real_folder(path: Path) -> None:
    """Make a folder; raises ``OSError`` when a link or a file has its name."""
    path.mkdir(parents=True, exist_ok=True)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{path.name} is a link: remove it")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; raises ``OSError`` for links, pipes and devices."""
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT | _BINARY)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def write_new(path: Path, text: str) -> None:
    """Write a new text file completely, or not at all."""
    draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    with os.fdopen(os.open(draft, flags, 0o666), "wb") as file:
        file.write(text.encode())
    draft.replace(path)


class CrashCount:
    """Counts, in a file, how often a process ended in the middle of a block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """Return the count; 0 without a file."""
        try:
            return self._path.lstat().st_size
        except OSError:
            return 0

    def clear(self) -> None:
        """Delete the count."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> None:
        """Count a crash in advance."""
        write_new(self._path, "." * (self.read() + 1))

    def __exit__(self, *_error: object) -> None:
        """Delete the count: an error or a request to stop isn't a crash."""
        self.clear()


def is_readable(path: Path) -> bool:
    """Return whether all of a file can be read."""
    try:
        with open_regular(path) as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return False
    return True
