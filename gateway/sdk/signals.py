"""Termination signals on every platform: Ctrl-C, service managers, a closed Windows console."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Final

# SIGBREAK: Ctrl-Break, window closed, user logged off, machine shut down.
_OF_WINDOWS: Final = ("SIGBREAK",) if sys.platform == "win32" else ()
_SIGNALS: Final = ("SIGINT", "SIGTERM", *_OF_WINDOWS)


@contextlib.contextmanager
def on_termination(end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` on the running event loop when a termination signal arrives.

    For the main thread. Previous handlers are restored when the block ends. asyncio's
    ``add_signal_handler`` doesn't exist on Windows.
    """
    loop = asyncio.get_running_loop()

    def handle(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(end)

    numbers = [getattr(signal, name) for name in _SIGNALS]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it wasn't set from Python
