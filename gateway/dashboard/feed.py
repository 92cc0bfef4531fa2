"""The changes for open pages: one reader for all browsers that a process serves.

While a page is open, the feed is read every 0.6 s, and the sessions every 3 s and after a change of
a person: about two queries a second, for any number of browsers. The changes are merged and sent to
each watcher as far as its person may see them: their account, permissions and sites, in both modes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.sessions import Sessions, SignedIn
from gateway.clock import Clock
from gateway.errors import StorageError
from gateway.model.wire import encode
from gateway.runtime import Gateway
from gateway.storage.stores.changes import MAX_IDS, FeedReader, StoredChange

READ_SECONDS = 0.6
# Its changes tell of a role, of sites and of sessions that ended.
_PEOPLE: Final = "people"
# Numbers of reads between checks of the sessions (3 s), and between keep-alive messages.
_READS_BETWEEN_CHECKS: Final = 5
_READS_BETWEEN_TICKS: Final = 8
# A page was made a moment before its stream begins.
_SECONDS_BEFORE: Final = 15.0
# A browser with more unsent messages than this refreshes everything instead.
_MAX_WAITING: Final = 32

_OUTAGES: Final = (SQLAlchemyError, StorageError, OSError)

End = Literal["locked", "signed_out", "stopping"]

_log = logging.getLogger(__name__)


class Watcher:
    """One browser's stream: its person's view, and its queued messages."""

    def __init__(self, digest: bytes, signed_in: SignedIn) -> None:
        self.digest = digest
        self.signed_in = signed_in
        self.ended: End | None = None
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_WAITING)

    def put(self, message: bytes) -> None:
        """Add a message; when too many wait, one that says to refresh everything replaces them."""
        if self.ended is not None:
            return
        if self._waiting.full():
            self._drop()
            message = written("reset", {})
        self._waiting.put_nowait(message)

    def end(self, reason: End) -> None:
        """End the stream with its reason."""
        if self.ended is None:
            self.put(written("end", {"reason": reason}))
            self.ended = reason
            if self._waiting.full():
                self._drop()
                self._waiting.put_nowait(written("end", {"reason": reason}))
            self._waiting.put_nowait(None)

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages until the stream ends."""
        while (message := await self._waiting.get()) is not None:
            yield message

    def _drop(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()


class Feed:
    """Reads the changes for all watchers of this process, while it has any."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock: Clock = gateway.clock
        self._sessions: Sessions = gateway.identity.sessions
        self._topics = gateway.hooks.topics()
        self._reader = FeedReader(gateway.database, gateway.clock)
        self._watchers: dict[Watcher, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._is_out = False

    @asynccontextmanager
    async def watching(
        self, digest: bytes, signed_in: SignedIn, after: int | None
    ) -> AsyncIterator[Watcher]:
        """Watch for a browser; ``after`` is the place of its last message, if it had one."""
        watcher = Watcher(digest, signed_in)
        self._watchers[watcher] = None
        try:
            if self._gateway.stopping.is_set():
                watcher.end("stopping")
            else:
                try:
                    await self._catch_up(watcher, after)
                except _OUTAGES as error:
                    self._note_outage(error)
                    watcher.put(written("reset", {}))
                if self._reading is None or self._reading.done():
                    self._reading = asyncio.create_task(self._read_on(), name="changes")
            yield watcher
        finally:
            del self._watchers[watcher]

    async def _catch_up(self, watcher: Watcher, after: int | None) -> None:
        """Send a new watcher the changes since its last message, or since its page was made."""
        if self._reader.place is None or not (self._reading and not self._reading.done()):
            await self._reader.begin()
        now = self._clock.now()
        missed: Sequence[StoredChange] | None
        if after is None:
            missed = await self._reader.recent(now, _SECONDS_BEFORE)
        else:
            missed = await self._reader.since(after, now)
        place = self._reader.place
        if missed is None:
            watcher.put(written("reset", {}, place))
        elif seen := self._seen(watcher.signed_in, _merged(missed)):
            watcher.put(written("changes", {"changes": seen}, place))
        else:
            watcher.put(written("tick", {}, place))

    async def _read_on(self) -> None:
        """Read until no watcher is left or the gateway stops."""
        reads = 0
        unsent: list[StoredChange] = []  # kept over an outage between the two queries
        while self._watchers and not await self._stopped(READ_SECONDS):
            reads += 1
            try:
                unsent += await self._reader.read()
                # Before the changes are sent: what a person may no longer see is left out.
                of_people = any(each.topic == _PEOPLE for each in unsent)
                if of_people or reads % _READS_BETWEEN_CHECKS == 0:
                    await self._check_sessions()
            except _OUTAGES as error:
                self._note_outage(error)
                continue
            self._is_out = False
            self._hand_out(unsent)
            unsent = []
            if reads % _READS_BETWEEN_TICKS == 0:
                message = written("tick", {}, self._reader.place)
                for watcher in self._watchers:
                    watcher.put(message)
        for watcher in self._watchers:
            watcher.end("stopping")

    async def _stopped(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._gateway.stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _check_sessions(self) -> None:
        """End the streams of sessions that locked or ended; take over what the others may see."""
        watched = list(self._watchers)  # watchers that come meanwhile are checked the next time
        found = await self._sessions.find_all({each.digest for each in watched})
        now = self._clock.now()
        for watcher in watched:
            signed_in = found.get(watcher.digest)
            if signed_in is None:
                watcher.end("signed_out")
            elif signed_in.locks_at <= now:
                watcher.end("locked")
            else:
                watcher.signed_in = signed_in

    def _hand_out(self, found: Sequence[StoredChange]) -> None:
        if not found:
            return
        merged = _merged(found)
        place = self._reader.place
        made: dict[tuple[Any, ...], bytes | None] = {}
        for watcher in self._watchers:
            own = watcher.signed_in
            key = (own.row.account_id, own.permissions, own.membership.sites)
            if key not in made:
                seen = self._seen(own, merged)
                made[key] = written("changes", {"changes": seen}, place) if seen else None
            message = made[key]
            if message is not None:
                watcher.put(message)

    def _seen(self, own: SignedIn, merged: Iterable[StoredChange]) -> list[dict[str, Any]]:
        """Return the changes that a person may see, as topics and ids."""
        sites = own.membership.sites
        return [
            {
                "topic": each.topic,
                "mode": each.mode,
                "site": each.site,
                "count": each.total,
                "ids": each.ids,
                "more": each.has_more,
            }
            for each in merged
            if (topic := self._topics.get(each.topic)) is not None
            and each.account_id == own.row.account_id
            and topic.permission in own.permissions
            and (not topic.by_site or sites is None or each.site in sites)
        ]

    def _note_outage(self, error: Exception) -> None:
        if not self._is_out:
            _log.warning("the changes can't be read (%s): open pages wait", type(error).__name__)
        self._is_out = True


def _merged(found: Iterable[StoredChange]) -> list[StoredChange]:
    """Merge changes of one topic, account, mode and site; each keeps the first ids."""
    groups: dict[tuple[str, str, str | None, str | None], list[StoredChange]] = {}
    for each in found:
        groups.setdefault((each.topic, each.account_id, each.mode, each.site), []).append(each)
    merged = []
    for group in groups.values():
        ids = tuple(dict.fromkeys(each_id for each in group for each_id in each.ids))
        merged.append(
            group[-1]._replace(
                ids=ids[:MAX_IDS],
                total=sum(each.total for each in group),
                has_more=len(ids) > MAX_IDS or any(each.has_more for each in group),
            )
        )
    return merged


def written(event: str, data: Any, place: int | None = None) -> bytes:
    """Write a message as a browser's ``EventSource`` reads it."""
    lines = b"event: %s\ndata: %s\n\n" % (event.encode(), encode(data))
    return lines if place is None else b"id: %d\n%s" % (place, lines)
