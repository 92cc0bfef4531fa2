"""Running this project's Python as on Windows, as far as that can be played on Linux."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from waiting import PATIENCE_SECONDS

PRETENDING = Path(__file__).parent / "pretending"
# sitecustomize.py says what it is.
CTRL_BREAK = signal.SIGUSR2


class Said(NamedTuple):
    """What a program printed, and how it ended."""

    code: int
    out: bytes
    err: str


def environment(*more: Path) -> dict[str, str]:
    """Return variables for a Python as on Windows; ``more`` are folders to import from.

    Output that goes to a file or another program is in Windows' own encoding. A file that is
    opened without saying in which fails here, whatever is in it.
    """
    return {
        **os.environ,
        "LC_ALL": "C",
        "NO_COLOR": "1",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "cp1252",
        "PYTHONPATH": os.pathsep.join(map(str, [PRETENDING, *more])),
        "PYTHONUTF8": "0",
        "PYTHONWARNDEFAULTENCODING": "1",
    }


async def start(folder: Path, words: Sequence[str], *more: Path) -> asyncio.subprocess.Process:
    """Start a Python with these words in ``folder``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=environment(*more),
    )


async def ended(process: asyncio.subprocess.Process) -> Said:
    """Wait until it ends."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return Said(process.returncode, out, err.decode("cp1252"))


async def python(folder: Path, program: str, *more: Path) -> Said:
    """Run a program of a few lines."""
    return await ended(await start(folder, ["-c", program], *more))


async def gateway(folder: Path, *words: str) -> Said:
    """Run a ``gateway`` command in the folder of its gateway.toml."""
    return await ended(await start(folder, ["-m", "gateway", *words]))


async def told(folder: Path, *words: str) -> object:
    """Run a ``gateway`` command that must succeed, and read the JSON that it prints."""
    said = await gateway(folder, *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out.decode("utf-8"))
