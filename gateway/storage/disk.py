"""Seeing to it that what was written outlives a power cut, on each system in its own way."""

import contextlib
import os
import sys
from pathlib import Path


def flush_to_disk(descriptor: int) -> None:
    """Bring an open file's bytes onto the disk itself.

    On macOS fsync leaves them in the drive's cache; F_FULLFSYNC doesn't, where the volume
    knows it (https://developer.apple.com/library/archive/documentation/System/Conceptual/ManPages_iPhoneOS/man2/fsync.2.html).
    """
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # a volume on the network may not
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def flush_names_to_disk(directory: Path) -> None:
    """Make a new name in a directory survive power loss; Windows has no such call."""
    if sys.platform != "win32":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            flush_to_disk(descriptor)
        finally:
            os.close(descriptor)
