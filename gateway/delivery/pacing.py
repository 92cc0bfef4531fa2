"""How fast one destination is served: no more than ``max_per_second``, without bursts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway.clock import Clock


class Pace:
    """A turnstile: whoever wants to send passes it one by one, each when its time has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_slot = 0.0
        self._turnstile = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def is_free(self) -> bool:
        """Say whether nobody has to wait: no slot is taken, and nobody queues."""
        return self._next_slot == 0.0 and not self._turnstile.locked()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and be alone meanwhile; take what is to be sent inside, not before.

        What is taken while one waits may be somebody else's by the time one sends.
        """
        async with self._turnstile:
            pause = self.pause_seconds()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._ended.wait()
            yield

    def took(self, count: int, max_per_second: float | None) -> None:
        """Note that ``count`` are going out now; the next may go when their time is over."""
        if max_per_second:
            began = max(self._next_slot, self._clock.monotonic_seconds())
            self._next_slot = began + count / max_per_second

    def pause_seconds(self) -> float:
        """Return how long until the next may go; 0 when it may go now."""
        if self._ended.is_set():
            return 0.0
        return max(0.0, self._next_slot - self._clock.monotonic_seconds())

    def end(self) -> None:
        """Let everybody who waits through: there is nothing left to be sent."""
        self._ended.set()
