"""Several processes of one command: started together, replaced when they die, ended together.

Each is told who supervises it (``--supervisor PID``), and ends when that process is gone: one
that was killed can't end them, and they would hold its port for ever.
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

from gateway.sdk.signals import on_termination

_log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0


supervisor_option: Final = click.option(
    "--supervisor", type=int, hidden=True, help="The process to end with."
)


def supervised(words: Sequence[str]) -> list[str]:
    """Return the command that runs the gateway with ``words``, supervised by this process."""
    return [sys.executable, "-m", "gateway", *words, "--supervisor", str(os.getpid())]


@contextlib.asynccontextmanager
async def ending_with(supervisor: int | None, end: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``end`` when the process ``supervisor``, if there is one, is gone."""

    async def watch() -> None:
        # An orphan gets another parent. Not on Windows, where nothing is supervised.
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
    """Keep one process a command running until we are asked to end; then end them all.

    ``pass_fds`` are open files, a listening socket for one, that each process inherits.
    """
    ending = asyncio.Event()
    with on_termination(ending.set):
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


# A batch of orders makes tens of thousands of short-lived objects, none of them in a cycle.
# Python's own threshold of 700 has it look through them a hundred times for nothing.
_YOUNG_OBJECTS: Final = 50_000


def calm_garbage_collection() -> None:
    """Leave alone what was made at start-up, and look through new objects less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
