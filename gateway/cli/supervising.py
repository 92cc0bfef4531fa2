"""Several processes of one command: started together, replaced when they die, ended together."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Final

_log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0


async def supervise(commands: Sequence[Sequence[str]], pass_fds: Sequence[int] = ()) -> None:
    """Keep one process a command running until we are asked to end; then end them all.

    ``pass_fds`` are open files, a listening socket for one, that each process inherits.
    """
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ending.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    await asyncio.gather(*(_keep(command, ending, pass_fds) for command in commands))


async def _keep(command: Sequence[str], ending: asyncio.Event, pass_fds: Sequence[int]) -> None:
    while not ending.is_set():
        process = await asyncio.create_subprocess_exec(*command, pass_fds=tuple(pass_fds))
        died = asyncio.create_task(process.wait())
        asked = asyncio.create_task(ending.wait())
        await asyncio.wait({died, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if died.done():
            _log.error("process %d ended with %s; starting another", process.pid, died.result())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), _PAUSE_SECONDS)
            continue
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await died
