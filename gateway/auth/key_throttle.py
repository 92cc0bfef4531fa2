"""Failed API keys by address, so that guesses don't each cost a database look-up.

Each network has a budget of look-ups that find no valid key, refilled evenly over a minute. A key
that was valid in the last ten minutes is looked up without that budget, so that an attacker behind
the same proxy or router can't lock it out. It is still read from the database each time, so a
revoked key is refused at once.

A refusal without a look-up is sent a second later, so that refusals of one address, with its share
of the connections, can't keep the event loop busy.
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from typing import Final

from gateway.auth.api_keys import Keys
from gateway.auth.rate_limits import client_network
from gateway.clock import Clock
from gateway.errors import NotAuthenticated, RateLimited
from gateway.model.account import Caller

_TRUSTED_SECONDS: Final = 600.0
_MAX_REMEMBERED: Final = 10_000
_WINDOW_SECONDS: Final = 60
_DELAY_SECONDS: Final = 1.0


class KeyThrottle:
    """Authenticates API keys within a budget of failures for each network."""

    def __init__(
        self,
        keys: Keys,
        clock: Clock,
        failures_per_minute: int,
        *,
        max_remembered: int = _MAX_REMEMBERED,
        delay_seconds: float = _DELAY_SECONDS,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._limit = failures_per_minute
        self._max_remembered = max_remembered
        self._delay_seconds = delay_seconds
        self._valid_until: OrderedDict[bytes, float] = OrderedDict()
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def authenticate(self, key: str | None, host: str) -> Caller:
        """Return the caller; raises ``NotAuthenticated``, or ``RateLimited`` without a look-up."""
        if not key:
            return await self._keys.authenticate(key)
        now = self._clock.monotonic_seconds()
        digest = hashlib.sha256(key.encode()).digest()
        is_known = self._valid_until.get(digest, 0.0) > now
        network = "" if is_known else client_network(host)
        if not is_known:
            try:
                self._spend(network, now)
            except RateLimited:
                await asyncio.sleep(self._delay_seconds)
                raise
        try:
            caller = await self._keys.authenticate(key)
        except NotAuthenticated:
            self._valid_until.pop(digest, None)
            raise
        self._valid_until[digest] = now + _TRUSTED_SECONDS
        self._valid_until.move_to_end(digest)
        if len(self._valid_until) > self._max_remembered:
            self._valid_until.popitem(last=False)
        if not is_known:
            self._refund(network)
        return caller

    def _spend(self, network: str, now: float) -> None:
        left, at = self._budgets.pop(network, (float(self._limit), now))
        left = min(float(self._limit), left + (now - at) * self._limit / _WINDOW_SECONDS)
        is_spent = left < 1
        self._budgets[network] = (left if is_spent else left - 1, now)
        if len(self._budgets) > self._max_remembered:
            self._budgets.popitem(last=False)
        if is_spent:
            raise RateLimited(
                "Too many invalid API keys came from this address; wait, then send it again.",
                policy="failed_keys",
                limit=self._limit,
                window_seconds=_WINDOW_SECONDS,
                retry_after_seconds=max(1, math.ceil((1 - left) * _WINDOW_SECONDS / self._limit)),
            )

    def _refund(self, network: str) -> None:
        budget = self._budgets.get(network)
        if budget is not None:
            self._budgets[network] = (min(float(self._limit), budget[0] + 1), budget[1])
