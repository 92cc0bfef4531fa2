"""The threads that read files: two, so that any number of files leaves the rest running.

On a machine of two cores there is one, which two imports share, so that a core is left for orders.
A file is read in Python, and a computing thread keeps the event loop waiting for up to 5 ms
(``sys.getswitchinterval``) each time. So a reading thread sleeps briefly after each millisecond,
and the interval is short while a file is read: orders take as long as without an import.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, Self, TypeVar

from gateway.plugin import FileTooSlow, SystemClock, Unavailable

AT_ONCE: Final = 2
_THREADS: Final = max(1, min(AT_ONCE, (os.cpu_count() or 1) - 1))
_CLOCK: Final = SystemClock()
_BUSY_SECONDS: Final = 0.001
_PAUSE_SECONDS: Final = 0.00005
_SWITCH_SECONDS: Final = 0.0002
_USUAL_SWITCH_SECONDS: Final = sys.getswitchinterval()
_STOPPED: Final = "The gateway stops: send the file again when it is back."
_TOO_SLOW: Final = "The file takes too long to read: split it, and import the parts."

P = ParamSpec("P")
T = TypeVar("T")


class Pace:
    """Lets other threads run while a file is read, and ends a reading that takes too long.

    ``seconds`` is the limit of CPU time for reading the file; ``None`` for no limit.
    """

    def __init__(
        self, seconds: float | None = None, stopped: threading.Event | None = None
    ) -> None:
        self._seconds = seconds
        self._stopped = stopped
        self._spent = 0.0
        self._thread = 0
        self._since = 0.0
        self._looked = -_BUSY_SECONDS

    def beat(self) -> None:
        """Record that a row was read; raises ``FileTooSlow`` or ``Unavailable``."""
        # CPU time can't exceed the time of the clock, which is cheaper to read.
        clock = _CLOCK.monotonic_seconds()
        if clock - self._looked < _BUSY_SECONDS:
            return
        self._looked = clock
        now, thread = time.thread_time(), threading.get_ident()
        if thread != self._thread:  # each chunk may be read by another thread of the two
            self._thread, self._since = thread, now
            return
        busy = now - self._since
        if busy < _BUSY_SECONDS:
            return
        self._spent += busy
        if self._seconds is not None and self._spent > self._seconds:
            raise FileTooSlow(_TOO_SLOW)
        if self._stopped is not None and self._stopped.is_set():
            raise Unavailable(_STOPPED)
        time.sleep(_PAUSE_SECONDS)
        self._since = time.thread_time()


class ReadingThreads:
    """The threads, and a queue of imports: two run at once, others wait."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._at_work = 0
        self._stopped = threading.Event()

    async def __aenter__(self) -> Self:
        """Start accepting files."""
        self._stopped.clear()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End the running readings."""
        self._stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until fewer than two imports run here, and count as one."""
        async with self._turns:
            yield

    def pace(self, seconds: float | None) -> Pace:
        """Make the pace of one file, which may take so much CPU time."""
        return Pace(seconds, self._stopped)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread; raises ``Unavailable`` once the gateway stops."""
        if self._stopped.is_set():
            raise Unavailable(_STOPPED)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="csv-reading")
        call = partial(copy_context().run, partial(work, *args, **kwargs))
        self._at_work += 1
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._at_work -= 1
            if not self._at_work:
                sys.setswitchinterval(_USUAL_SWITCH_SECONDS)
