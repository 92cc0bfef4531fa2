"""Supervision of child processes, and garbage collection settings of long-running ones.

Children get the supervisor's process id (``--supervisor PID``) and end when it is gone: a killed
supervisor can't terminate them, and they would keep its port forever.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import click

from gateway.cli import YOUNG_OBJECTS
from gateway.sdk.signals import on_termination

_log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0


supervisor_option: Final = click.option(
    "--supervisor", type=int, hidden=True, help="Id of the supervising process."
)


def supervised(words: Sequence[str]) -> list[str]:
    """Return a command line that runs the gateway with ``words``, supervised by this process."""
    return [sys.executable, "-m", "gateway", *words, "--supervisor", str(os.getpid())]


@contextlib.asynccontextmanager
async def ending_with(supervisor: int | None, end: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``end`` when the process ``supervisor``, if any, is gone."""

    async def watch() -> None:
        # An orphan gets another parent. Windows has no supervised processes.
        while True:
            if os.getppid() != supervisor:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        _log.error("the supervising process is gone; ending")
        end()

    watching = None if supervisor is None else asyncio.create_task(watch(), name="supervisor")
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def supervise(commands: Sequence[Sequence[str]], pass_fds: Sequence[int] = ()) -> None:
    """Run a process for each command until a termination signal, restarting those that die.

    ``pass_fds`` are file descriptors, such as a listening socket, that each process inherits.
    """
    ending = asyncio.Event()
    with on_termination(ending.set):
        await asyncio.gather(*(_keep(command, ending, pass_fds) for command in commands))


async def _keep(command: Sequence[str], ending: asyncio.Event, pass_fds: Sequence[int]) -> None:
    while not ending.is_set():
        process = await asyncio.create_subprocess_exec(*command, pass_fds=tuple(pass_fds))
        died = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(ending.wait())
        await asyncio.wait({died, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if died.done():
            _log.error("process %d ended with %s; starting another", process.pid, died.result())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), _PAUSE_SECONDS)
            continue
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await died


def calm_garbage_collection() -> None:
    """Exclude start-up objects from garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
