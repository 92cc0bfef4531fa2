"""Deadlines: cancel tasks that take too long, with one timer for all that run at the same time.

``asyncio.timeout`` sets and cancels a timer each time, which is a tenth of what a request costs.
"""

import asyncio
from typing import Any, Final

# The timer of uvloop counts whole milliseconds. Deadlines that are nearer to each other share it.
_NEAR_SECONDS: Final = 0.001


class Running:
    """What a task does until its deadline; ``cut_off`` when it has passed."""

    __slots__ = ("cut_off", "deadline", "task")

    def __init__(self, deadline: float, task: asyncio.Task[Any]) -> None:
        self.deadline = deadline
        self.task = task
        self.cut_off = False


class Deadlines:
    """Cancels tasks at their deadlines; the timer is that of the next one."""

    def __init__(self) -> None:
        self._running: set[Running] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def begin(self, seconds: float) -> Running:
        """Start a deadline of the current task; pass it to :meth:`finish` in any case."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - only tasks can be cancelled
        this = Running(loop.time() + seconds, task)
        self._running.add(this)
        if self._timer is None or this.deadline < self._timer_at - _NEAR_SECONDS:
            self._set_timer(loop, this.deadline)
        return this

    def finish(self, this: Running) -> bool:
        """End a deadline; returns whether its cancellation is the only one of the task."""
        self._running.discard(this)
        return this.cut_off and this.task.uncancel() == 0

    def end(self) -> None:
        """Cancel the timer; call it when nothing runs any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self.end()
        self._timer_at = at
        self._timer = loop.call_at(at, self._cut_off_late, loop)

    def _cut_off_late(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        until = loop.time() + _NEAR_SECONDS
        late = [each for each in self._running if each.deadline <= until]
        for each in late:
            self._running.discard(each)
            each.cut_off = True
            each.task.cancel()
        if self._running:
            self._set_timer(loop, min(each.deadline for each in self._running))
