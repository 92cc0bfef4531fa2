"""The threads that read files: two, so that however many files come, the rest goes on.

On a machine of two cores it is one, which two imports take turns on: a core is left for orders.

A file is read in Python, and a thread that computes keeps the event loop waiting for up to 5 ms
(``sys.getswitchinterval``) each time that the loop has something to do. So a reading thread sleeps
for a moment after each millisecond, and the interval is a short one while a file is read: orders
that come in meanwhile take as long as before.
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
    """Lets other threads have their turn while a file is read, and ends what takes too long.

    ``seconds`` is the CPU time that reading the file may take; ``None`` for no bound.
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
        """Note that a row was read; raises ``FileTooSlow`` or ``Unavailable``."""
        # A thread has not computed for longer than the clock went on, which costs less to read.
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
    """The threads, and the turns that imports take: more than two at once wait."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._at_work = 0
        self._stopped = threading.Event()

    async def __aenter__(self) -> Self:
        """Let files be read."""
        self._stopped.clear()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End what is being read."""
        self._stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until fewer than two imports are at work here, and count as one."""
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
