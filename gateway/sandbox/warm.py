"""A sandboxed reader that stays in its process, because it takes seconds to load.

The process starts with the first file, reads one file after the other, and ends after
``most_files``, after a file on which it failed, or when it was idle: that removes what a file left
in it. Everything else is as in :mod:`gateway.sandbox.reader`.
"""

import threading
from contextlib import ExitStack
from typing import Any, Final

from gateway.clock import Clock, SystemClock
from gateway.errors import FileTooDemanding, FileUnreadable
from gateway.sandbox.reader import (
    Readable,
    SandboxReader,
    Watch,
    items_of,
    resident_bytes_of,
    sandboxed_process,
)

_LENGTH_BYTES: Final = 8


class WarmSandbox:
    """Runs one reader on files, one at a time, in one process."""

    def __init__(
        self, reader: SandboxReader, *, most_files: int = 50, clock: Clock | None = None
    ) -> None:
        self._reader = reader
        self._clock = clock or SystemClock()
        self._most_files = most_files
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._running: tuple[Any, Watch] | None = None
        self._files = 0
        self._used_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process's id; ``None`` while there is no process."""
        running = self._running
        return None if running is None else int(running[0].pid)

    @property
    def resident_bytes(self) -> int:
        """The resident memory of the process; 0 without one, or where it is unknown."""
        pid = self.pid
        return 0 if pid is None else resident_bytes_of(pid)

    def read(self, file: Readable) -> list[Any]:
        """Return the reader's items for a file; blocks, so call it in a thread.

        Raises as :func:`~gateway.sandbox.reader.read_in_sandbox` does.
        """
        file.seek(0)
        parts = []
        while part := file.read():
            parts.append(part)
        content = b"".join(parts)
        with self._lock:
            if self._running is not None and self._running[0].poll() is not None:
                self._end()  # it was killed since the last file
            was_used = self._running is not None
            try:
                return self._answer(content)
            except FileTooDemanding:
                if not was_used:
                    raise
            # Earlier files may have left memory in use, which isn't this file's fault.
            return self._answer(content)

    def _answer(self, content: bytes) -> list[Any]:
        process, watch = self._running or self._start()
        is_fine = False
        try:
            watch.is_waiting = True
            _send(process.stdin, content)
            found = list(items_of(process, watch, self._reader.limits.item_bytes))
            is_fine = True
        except FileUnreadable:
            is_fine = True  # refused by the reader itself, which continues
            raise
        finally:
            watch.is_waiting = False
            self._files += 1
            self._used_at = self._clock.monotonic_seconds()
            if not is_fine or self._files >= self._most_files:
                self._end()
        return found

    def end_if_idle(self, seconds: float) -> None:
        """End the process if no file came for this long; a busy one isn't disturbed."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if (
                self._running is not None
                and self._clock.monotonic_seconds() - self._used_at >= seconds
            ):
                self._end()
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the process, also during a file; the next file starts another one."""
        running = self._running
        if running is not None:
            running[0].kill()
        with self._lock:
            self._end()

    def _start(self) -> tuple[Any, Watch]:
        self._running = self._open.enter_context(sandboxed_process(self._reader, stays=True))
        self._files = 0
        return self._running

    def _end(self) -> None:
        self._running = None
        self._open.close()


def _send(stdin: Any, content: bytes) -> None:
    try:
        stdin.write(len(content).to_bytes(_LENGTH_BYTES, "big"))
        stdin.write(content)
        stdin.flush()
    except OSError:
        # The process ended before it read everything: its exit code shows why.
        return
