"""Waiting for what another task, another thread or another process is about to do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

# A wait ends as soon as the thing has happened: only a test that fails takes this long, and a
# machine with twenty other things to do is in time.
PATIENCE_SECONDS: Final = 120.0


async def until(
    condition: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE_SECONDS
) -> T:
    """Ask again and again until the answer is true; returns it."""
    async with asyncio.timeout(seconds):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.005)
