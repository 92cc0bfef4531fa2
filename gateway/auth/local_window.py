"""A sliding window in this process: what counts rate limits where no Redis counts them for all.

The count of the window before weighs as much as it still overlaps the last ``window`` seconds,
as in the ``limits`` library, whose own memory storage starts a task for each request that looks
at every counter there is.
"""

from math import floor
from typing import Final, NamedTuple

_MOST_KEPT: Final = 10_000
"""Counters beyond which those that have run out are dropped."""


class _Counter(NamedTuple):
    window: int
    """Which window since 1970 this one counts in."""
    taken: int
    before: int
    """What was taken in the window before."""
    seconds: int
    """How long a window is."""


class LocalWindow:
    """Counts by name, each within a limit in a window of its own length."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._most_kept = _MOST_KEPT

    def __len__(self) -> int:
        """Return how many counters are kept."""
        return len(self._counters)

    def take(
        self, name: tuple[str, str], cost: int, *, limit: int, seconds: int, now: float
    ) -> float | None:
        """Count ``cost``; past ``limit``, count nothing and return when it resets.

        ``now`` and what is returned are seconds since 1970.
        """
        window = int(now // seconds)
        was = self._counters.get(name)
        taken = before = 0
        if was is not None and was.window == window:
            taken, before = was.taken, was.before
        elif was is not None and was.window == window - 1:
            before = was.taken
        left = (window + 1) * seconds - now
        if floor(before * left / seconds) + taken + cost > limit:
            # One less weighs of the window before after so long; else the next one begins.
            return now + (left % (seconds / before) if before else left)
        self._counters[name] = _Counter(window, taken + cost, before, seconds)
        if len(self._counters) > self._most_kept:
            self._drop_old(now)
        return None

    def _drop_old(self, now: float) -> None:
        self._counters = {
            name: each
            for name, each in self._counters.items()
            if each.window >= int(now // each.seconds) - 1
        }
        # Where many are in use, they are not looked through for each new one.
        self._most_kept = max(_MOST_KEPT, 2 * len(self._counters))
