"""Slow down password guessing without locking a person out.

Failed attempts are counted for each pair of address and login: five are free, then each is followed
by a pause that doubles, up to a minute; an attempt within the pause isn't checked. The failed
attempts of one network are also limited by the minute, over all logins.

A browser in which a person has signed in before holds a device token, and a signed-in one its
session: each has a count of its own, so guesses from elsewhere, even from behind the same router
or proxy, don't pause it (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
Passkeys can't be guessed and are never paused.

Counts are rows, so that a guesser has one budget, not one for each process. An attempt is counted
as failed before it is checked, and the count is removed when it was right, so that parallel
attempts gain nothing.
"""

import hashlib
import math
from collections import OrderedDict
from typing import Final

from gateway.auth.rate_limits import client_network
from gateway.clock import Clock, to_epoch_ms
from gateway.errors import RateLimited
from gateway.storage.database import Database
from gateway.storage.stores import sign_in_counts
from gateway.storage.stores.sign_in_counts import Count

FREE_FAILURES: Final = 5
MAX_PAUSE_SECONDS: Final = 60
FAILURES_PER_MINUTE: Final = 30
FORGOTTEN_MS: Final = 3_600_000
_MAX_PAUSES: Final = 20_000
_WINDOW_SECONDS: Final = 60
_MS: Final = 1000


class SignInThrottle:
    """Counts attempts: call :meth:`admit` before the check, :meth:`succeeded` after a right one."""

    def __init__(
        self, database: Database, clock: Clock, failures_per_minute: int = FAILURES_PER_MINUTE
    ) -> None:
        self._database = database
        self._clock = clock
        self._limit = failures_per_minute
        # A pause that this process knows of needs no look-up.
        self._pauses: OrderedDict[bytes, int] = OrderedDict()

    async def admit(self, host: str, login: str, known_as: str | None = None) -> bytes:
        """Return the key that the attempt counts under; raises ``RateLimited`` within a pause.

        ``known_as`` identifies a browser that this person has signed in with.
        """
        now_ms = to_epoch_ms(self._clock.now())
        network = client_network(host)
        key = _digest(f"known\0{known_as}" if known_as is not None else f"{network}\0{login}")
        self._refuse_until(self._pauses.get(key, 0), now_ms)
        async with self._database.begin() as connection:
            new = Count(0.0, 0, now_ms)
            count = await sign_in_counts.lock(connection, key, new)
            if now_ms - count.last_at_ms > FORGOTTEN_MS:
                count = new
            self._note_pause(key, count.next_at_ms)
            self._refuse_until(count.next_at_ms, now_ms)
            if known_as is None:
                budget = _digest(network)
                full = Count(float(self._limit), 0, now_ms)
                left = self._left(await sign_in_counts.lock(connection, budget, full), now_ms)
                if left < 1:
                    raise _too_many((1 - left) * _WINDOW_SECONDS / self._limit)
                await sign_in_counts.store(connection, budget, Count(left - 1, 0, now_ms))
            failures = int(count.number) + 1
            next_at_ms = now_ms + _pause_ms(failures)
            await sign_in_counts.store(connection, key, Count(failures, next_at_ms, now_ms))
        self._note_pause(key, next_at_ms)
        return key

    async def succeeded(self, key: bytes, host: str) -> None:
        """Remove the failed attempts before a successful one."""
        self._pauses.pop(key, None)
        async with self._database.begin() as connection:
            await sign_in_counts.forget(connection, key)
            await sign_in_counts.give_back(
                connection, _digest(client_network(host)), float(self._limit)
            )

    def _left(self, budget: Count, now_ms: int) -> float:
        refilled = max(0, now_ms - budget.last_at_ms) * self._limit / (_WINDOW_SECONDS * _MS)
        return min(float(self._limit), budget.number + refilled)

    def _note_pause(self, key: bytes, next_at_ms: int) -> None:
        self._pauses.pop(key, None)
        if next_at_ms:
            self._pauses[key] = next_at_ms
        if len(self._pauses) > _MAX_PAUSES:
            self._pauses.popitem(last=False)

    @staticmethod
    def _refuse_until(next_at_ms: int, now_ms: int) -> None:
        if now_ms < next_at_ms:
            raise _too_many((next_at_ms - now_ms) / _MS)


def _pause_ms(failures: int) -> int:
    if failures < FREE_FAILURES:
        return 0
    return _MS * min(MAX_PAUSE_SECONDS, 1 << min(failures - FREE_FAILURES, 10))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _too_many(seconds: float) -> RateLimited:
    return RateLimited(
        "Too many wrong answers came from here; wait, then try again.",
        policy="sign_in",
        limit=FREE_FAILURES,
        window_seconds=_WINDOW_SECONDS,
        retry_after_seconds=max(1, math.ceil(seconds)),
    )
