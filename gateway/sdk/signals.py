"""Being asked to end, on every system: Ctrl-C, service managers, a closed window on Windows."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Final

# SIGBREAK: Ctrl-Break, the window closed, the user logged off, the machine shut down.
_OF_WINDOWS: Final = ("SIGBREAK",) if sys.platform == "win32" else ()
_SIGNALS: Final = ("SIGINT", "SIGTERM", *_OF_WINDOWS)


@contextlib.contextmanager
def on_termination(end: Callable[[], None]) -> Iterator[None]:
    """Have the running event loop call ``end``, where else the process would just be over.

    For the main thread. Until the block is over: then signals mean what they meant before.
    asyncio's own ``add_signal_handler`` is not to be had on Windows.
    """
    loop = asyncio.get_running_loop()

    def asked(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(end)

    numbers = [getattr(signal, name) for name in _SIGNALS]
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it wasn't set from Python
