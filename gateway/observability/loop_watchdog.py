"""Finds code that blocks the event loop: a thread that samples the loop's stack.

The thread checks ten times a second whether the loop waits for events: no cost for the loop. If it
doesn't, the thread schedules a callback. When the callback doesn't run for 100 ms it takes the
stack of the loop's thread, and when the callback runs it logs how long it was blocked, how much CPU
time it used meanwhile (where the system reports it), and the innermost function of the gateway or a
plugin on that stack. A block with little CPU time is a busy machine or a blocking system call, not
a computation; where the system reports how long the thread waited for a processor (Linux), a busy
machine's blocks are counted and not logged.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from gateway.clock import Clock
from gateway.observability.metrics import Metrics

_log = logging.getLogger(__name__)

BLOCKED_SECONDS: Final = 0.1
# Each check is a wake-up: half of the CPU time of an idle server. A block may begin between two
# checks, so that one of less than 200 ms may stay unseen.
_CHECK_SECONDS: Final = 0.1
_PERIOD_SECONDS: Final = 0.05
# A busy machine causes many blocks at one place: all are counted, one a minute is logged.
_QUIET_SECONDS: Final = 60.0
# Where a loop waits for events: uvloop outside of Python functions, asyncio in its selector.
_WAITING: Final = frozenset({"asyncio.runners", "asyncio.windows_events", "selectors"})


@contextlib.contextmanager
def watched_loop(
    metrics: Metrics, clock: Clock, *, blocked_seconds: float = BLOCKED_SECONDS
) -> Iterator[None]:
    """Watch the running loop until the block ends."""
    watchdog = _Watchdog(asyncio.get_running_loop(), metrics, clock, blocked_seconds)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


class _Watchdog(threading.Thread):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics,
        clock: Clock,
        blocked_seconds: float,
    ) -> None:
        super().__init__(name="loop watchdog", daemon=True)
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._cpu_seconds = _cpu_clock(self._loop_thread)
        self._waited_seconds = _WaitingClock(threading.get_native_id())
        self._metrics = metrics
        self._clock = clock
        self._blocked_seconds = blocked_seconds
        self._alive = threading.Event()
        self._stopped = threading.Event()
        self._waited_at = 0.0
        # By place: the end of the pause in logging, and the number of unlogged blocks.
        self._said: dict[str, tuple[float, int]] = {}

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self._waited_seconds.close()

    def run(self) -> None:
        while not self._stopped.is_set():
            time.sleep(_CHECK_SECONDS)  # an asyncio event would cost twice as much
            if self._waits():
                continue
            began, cpu_began = self._clock.monotonic_seconds(), self._cpu_seconds()
            waited_began = self._waited_seconds()
            try:
                if self._answers():
                    continue
            except RuntimeError:  # the loop is closed
                return
            place = place_of(self._frame())
            while not self._alive.wait(_PERIOD_SECONDS):
                if self._stopped.is_set():
                    return
            seconds = self._clock.monotonic_seconds() - began
            cpu_seconds = self._cpu_seconds() - cpu_began
            self._report(place, seconds, cpu_seconds, self._waited_seconds() - waited_began)

    def _waits(self) -> bool:
        """Return whether the loop waits for events, as its thread's innermost function shows."""
        used = self._cpu_seconds()
        if used and used == self._waited_at:
            return True  # it has not moved since
        frame = self._frame()
        waits = frame is not None and frame.f_globals.get("__name__") in _WAITING
        self._waited_at = used if waits else 0.0
        return waits

    def _answers(self) -> bool:
        """Schedule a callback on the loop, and return whether it ran in time."""
        self._alive.clear()
        self._loop.call_soon_threadsafe(self._alive.set)
        return self._alive.wait(self._blocked_seconds)

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self._loop_thread)  # noqa: SLF001

    def _report(
        self, place: str, seconds: float, cpu_seconds: float, waited_seconds: float = 0.0
    ) -> None:
        if seconds - waited_seconds >= self._blocked_seconds:
            self._log(place, seconds, cpu_seconds)
        with contextlib.suppress(RuntimeError):  # the loop is closed; numbers change in its thread
            self._loop.call_soon_threadsafe(self._metrics.loop_blocked, place)

    def _log(self, place: str, seconds: float, cpu_seconds: float) -> None:
        now = self._clock.monotonic_seconds()
        quiet_until, unsaid = self._said.get(place, (0.0, 0))
        if now < quiet_until:
            self._said[place] = (quiet_until, unsaid + 1)
        else:
            self._said[place] = (now + _QUIET_SECONDS, 0)
            _log.warning(
                "the event loop was blocked for %.0f ms (%.0f ms of CPU time) in %s%s",
                seconds * 1000,
                cpu_seconds * 1000,
                place,
                f", and {unsaid} times since the last line of it" if unsaid else "",
            )


def place_of(frame: FrameType | None) -> str:
    """Return ``module:function`` of the innermost frame of the gateway or a plugin, else of any."""
    innermost = frame
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "gateway" or module.startswith(("gateway.", "gateway_")):
            break
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "unknown"
    return f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_qualname}"


def _cpu_clock(thread_id: int) -> Callable[[], float]:
    """Return a function for the CPU seconds of a thread; always 0 where unknown."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0.0
    clock = time.pthread_getcpuclockid(thread_id)
    return lambda: time.clock_gettime(clock)


class _WaitingClock:
    """The seconds that a thread was ready to run and had no processor; always 0 where unknown."""

    def __init__(self, native_id: int) -> None:
        self._file: int | None = None
        if hasattr(os, "pread"):  # Windows has none
            with contextlib.suppress(OSError):  # no Linux, or one without CONFIG_SCHED_INFO
                self._file = os.open(f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY)

    def __call__(self) -> float:
        if self._file is None:
            return 0.0
        # Documentation/scheduler/sched-stats: time on a processor, time in a run queue (ns).
        return int(os.pread(self._file, 64, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
