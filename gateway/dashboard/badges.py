"""The numbers beside the names of pages: computed in parallel, kept for two seconds.

A page doesn't wait for them. A badge that fails or is late is left out, or keeps its last number.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.clock import Clock
from gateway.dashboard.registry import OwnedPage
from gateway.model.account import Caller
from gateway.sdk.pages import Badge

_log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 0.15
_MOST_KEPT: Final = 500

_Key = tuple[str, str, str, frozenset[str] | None, frozenset[str]]


class Badges:
    """The badges of an account, mode and sites."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[_Key, tuple[float, Badge | None]] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[None]] = {}

    async def of(self, caller: Caller, pages: Sequence[OwnedPage]) -> Mapping[str, Badge]:
        """Return the badges of ``pages`` by path."""
        now = self._clock.monotonic_seconds()
        stale = [
            each
            for each in pages
            if each.page.badge is not None and not self._is_fresh(each, caller, now)
        ]
        if stale:
            asked = [self._asked(each, caller) for each in stale]
            await asyncio.wait(asked, timeout=_PATIENCE_SECONDS)
        return self.kept(caller, pages)

    def kept(self, caller: Caller, pages: Sequence[OwnedPage]) -> Mapping[str, Badge]:
        """Return the known badges, without computing any."""
        found = {each.page.path: self._kept.get(_key(each, caller)) for each in pages}
        return {
            path: kept[1]
            for path, kept in found.items()
            if kept is not None and kept[1] is not None and kept[1].count
        }

    def _is_fresh(self, owned: OwnedPage, caller: Caller, now: float) -> bool:
        kept = self._kept.get(_key(owned, caller))
        return kept is not None and now - kept[0] < KEPT_SECONDS

    def _asked(self, owned: OwnedPage, caller: Caller) -> asyncio.Task[None]:
        """Return the running computation, or a new one; a late result is for the next page."""
        key = _key(owned, caller)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(owned, caller))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _ask(self, owned: OwnedPage, caller: Caller) -> None:
        ask = owned.page.badge
        try:
            badge = None if ask is None else await ask(caller)
        except Exception as error:  # noqa: BLE001 - a number beside a name fails no page
            _log.warning(
                "the badge of the page %s failed: %s", owned.page.path, type(error).__name__
            )
            badge = None
        self._kept[_key(owned, caller)] = self._clock.monotonic_seconds(), badge
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)


def _key(owned: OwnedPage, caller: Caller) -> _Key:
    return owned.page.path, caller.account_id, caller.mode, caller.sites, caller.permissions
