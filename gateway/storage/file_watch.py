"""FileWatch: notices when a SQLite file in use is replaced, deleted or damaged."""

from pathlib import Path
from threading import Lock

from gateway.clock import Clock, SystemClock
from gateway.errors import StorageError


def was_left_open(path: Path) -> bool:
    """Return whether the last process that had a SQLite file open was killed.

    The last connection to close writes the ``-wal`` into the file and removes it
    (https://www.sqlite.org/wal.html). Also true while another process has the file open.
    """
    wal = path.with_name(f"{path.name}-wal")
    return wal.exists() and wal.stat().st_size > 0


class FileWatch:
    """Notices when a SQLite file in use is replaced, deleted or damaged.

    Without it, writes would continue into a deleted file. The file and its ``-wal`` are compared
    with those of the first connection, at most once a second; a fault stays until the process ends.
    """

    def __init__(
        self,
        path: Path,
        *,
        only_reads: bool = False,
        pause_seconds: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self._only_reads = only_reads
        self._clock = clock or SystemClock()
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._pause_seconds = pause_seconds
        self._fault: str | None = None
        self._counting = Lock()  # the writer's thread connects too
        self._connections = 0
        self._identity: tuple[int, int] | None = None
        self._wal_identity: tuple[int, int] | None = None
        self._look_at = 0.0
        self._was_opened = False

    def address(self) -> str:
        """Return the URI of the next connection; raises ``StorageError`` for a replaced file.

        Only a process that never had the file open may create it (``mode=rwc``): otherwise a file
        that was deleted since the last check would be created empty
        (https://www.sqlite.org/uri.html).
        """
        if (fault := self.fault(at_once=True)) is not None:
            raise StorageError(fault)
        mode = "rw" if self._was_opened else "rwc"
        if self._only_reads and was_left_open(self._path):
            mode = "ro"  # without a -wal, the connection would leave an empty one behind
        return f"{self._path.absolute().as_uri()}?mode={mode}"

    def connected(self) -> None:
        """Record a new connection; later files are compared with the first one's."""
        with self._counting:
            self._connections += 1
            self._was_opened = True
            if self._connections == 1:
                self._identity, self._wal_identity = _identity(self._path), None

    def disconnected(self) -> None:
        """Record that a connection closed; the last one removes the ``-wal``."""
        with self._counting:
            self._connections -= 1
            if self._connections <= 0:
                self._connections, self._identity, self._wal_identity = 0, None, None

    def damaged(self) -> None:
        """Record that SQLite found the file malformed."""
        self._fault = (
            f"The database file {self._path.name} is damaged: stop the gateway, keep a copy of the "
            "file, and restore the last backup (gateway restore FILE). A copy that was put back by "
            f"hand needs {self._path.name}-wal and {self._path.name}-shm deleted first."
        )

    def fault(self, *, at_once: bool = False) -> str | None:
        """Return the fault of the file as a sentence for the operator.

        ``at_once`` compares even if the last comparison was less than a second ago.
        """
        now = self._clock.monotonic_seconds()
        is_due = at_once or now >= self._look_at
        if self._fault is None and self._identity is not None and is_due:
            self._look_at = now + self._pause_seconds
            self._compare()
        return self._fault

    def _compare(self) -> None:
        wal = _identity(self._wal)
        if self._wal_identity is None:  # the -wal appears with the first transaction
            self._wal_identity = wal
        if _identity(self._path) != self._identity or wal != self._wal_identity:
            self._fault = (
                f"The database file {self._path.name} or its -wal was replaced or deleted while "
                "in use: stop the gateway, put the file back or restore the last backup, then "
                "start it again."
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
