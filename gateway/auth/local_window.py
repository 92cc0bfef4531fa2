"""A sliding window in this process: it counts rate limits where there is no Redis.

The count of the previous window is weighted by its overlap with the last ``window`` seconds, as in
the ``limits`` library. That library's memory storage starts a task for each request, which looks at
every counter.
"""

from math import floor
from typing import Final, NamedTuple

_MOST_KEPT: Final = 10_000
"""Above this number of counters, expired ones are dropped."""


class _Counter(NamedTuple):
    window: int
    """The number of the current window since 1970."""
    taken: int
    before: int
    """The count of the previous window."""
    seconds: int
    """The length of a window."""


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
            # After this time the previous window weighs one less, or the next window begins.
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
        # With many counters in use, not every new one causes a scan.
        self._most_kept = max(_MOST_KEPT, 2 * len(self._counters))
