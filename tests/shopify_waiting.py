"""Waiting for what another task, or another process, is about to do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 20.0


async def until(
    condition: Callable[[], Awaitable[T | None]], seconds: float = TIMEOUT_SECONDS
) -> T:
    """Ask again and again until the answer is more than nothing; returns it."""
    async with asyncio.timeout(seconds):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.005)
