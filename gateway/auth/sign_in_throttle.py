"""Guessing passwords is slow, and no stranger can keep a person out.

Wrong answers are counted for each pair of address and login: five are free, then each is followed
by a pause that doubles, up to a minute; an answer that comes within the pause isn't looked at. One
network may also give only so many wrong answers a minute, whatever logins it tries.

A browser in which a person has signed in before holds a device token, and a signed-in one its
session: each has a count of its own, so guesses from elsewhere, even from behind the same router
or proxy, don't pause it (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
Passkeys can't be guessed and are never paused. Counts are of one process.
"""

import hashlib
import math
from collections import OrderedDict
from typing import Final, NamedTuple

from gateway.auth.rate_limits import client_network
from gateway.clock import Clock
from gateway.errors import RateLimited

FREE_FAILURES: Final = 5
MAX_PAUSE_SECONDS: Final = 60
FAILURES_PER_MINUTE: Final = 30
_FORGOTTEN_SECONDS: Final = 3600.0
_MAX_COUNTS: Final = 20_000
_WINDOW_SECONDS: Final = 60


class _Count(NamedTuple):
    failures: int
    next_at: float
    last_at: float


class SignInThrottle:
    """Counts wrong answers; :meth:`admit` before an answer is looked at, then the result."""

    def __init__(self, clock: Clock, failures_per_minute: int = FAILURES_PER_MINUTE) -> None:
        self._clock = clock
        self._limit = failures_per_minute
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, host: str, login: str, known_as: str | None = None) -> bytes:
        """Return what to count the answer under; raises ``RateLimited`` within a pause.

        ``known_as`` identifies a browser that this person has signed in with.
        """
        now = self._clock.monotonic_seconds()
        network = client_network(host)
        who = f"known\0{known_as}" if known_as is not None else f"{network}\0{login}"
        key = hashlib.sha256(who.encode("utf-8", "surrogatepass")).digest()
        count = self._counts.get(key)
        if count is not None and now - count.last_at > _FORGOTTEN_SECONDS:
            del self._counts[key]
            count = None
        if count is not None and now < count.next_at:
            raise _too_many(count.next_at - now)
        if known_as is None:
            self._spend(network, now)
        return key

    def failed(self, key: bytes) -> None:
        """Count a wrong answer."""
        now = self._clock.monotonic_seconds()
        before = self._counts.pop(key, None)
        failures = 1 if before is None else before.failures + 1
        pause = 0.0
        if failures >= FREE_FAILURES:
            pause = float(min(MAX_PAUSE_SECONDS, 2 ** min(failures - FREE_FAILURES, 10)))
        self._counts[key] = _Count(failures, now + pause, now)
        if len(self._counts) > _MAX_COUNTS:
            self._counts.popitem(last=False)

    def succeeded(self, key: bytes, host: str) -> None:
        """Forget the wrong answers before a right one."""
        self._counts.pop(key, None)
        network = client_network(host)
        budget = self._budgets.get(network)
        if budget is not None:
            self._budgets[network] = (min(float(self._limit), budget[0] + 1), budget[1])

    def _spend(self, network: str, now: float) -> None:
        left, at = self._budgets.pop(network, (float(self._limit), now))
        left = min(float(self._limit), left + (now - at) * self._limit / _WINDOW_SECONDS)
        is_spent = left < 1
        self._budgets[network] = (left if is_spent else left - 1, now)
        if len(self._budgets) > _MAX_COUNTS:
            self._budgets.popitem(last=False)
        if is_spent:
            raise _too_many((1 - left) * _WINDOW_SECONDS / self._limit)


def _too_many(seconds: float) -> RateLimited:
    return RateLimited(
        "Too many wrong answers came from here; wait, then try again.",
        policy="sign_in",
        limit=FREE_FAILURES,
        window_seconds=_WINDOW_SECONDS,
        retry_after_seconds=max(1, math.ceil(seconds)),
    )
