"""Sessions: 256 random bits in a cookie, their SHA-256 in the database, read for each request.

A session ends twelve hours after it began, and locks after fifteen minutes without activity; both
are settings. A locked session opens nothing; when its person signs in again, the typed text is
still there. Nothing is cached, so the end of a session, a disabled person, a changed role or site
take effect with the next request in every process.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.roles import Permissions
from gateway.clock import Clock
from gateway.errors import NotAuthenticated, SessionLocked, StepUpRequired
from gateway.model.account import Caller, Mode
from gateway.model.ids import new_id
from gateway.model.permission import REVEALING
from gateway.model.person import Membership, Method, Person, SessionRow
from gateway.settings import PeopleTable
from gateway.storage.database import Database
from gateway.storage.stores.sessions import OpenSession, SessionStore

SIGNED_IN: Final = "gateway_signed_in"
"""The key of ``scope["state"]`` for the :class:`SignedIn` of a person's request."""

_COOKIE_BYTES: Final = 32
_MAX_COOKIE: Final = 100
_TOUCH_EVERY: Final = timedelta(seconds=15)
_MAX_AGENT: Final = 60


class SignedIn(NamedTuple):
    """A person's session as it is now, with their permissions.

    ``lacks_factor``: the role needs a second factor and this session has shown none; it can only
      set one up.
    """

    row: SessionRow
    person_name: str
    language: str | None
    membership: Membership
    permissions: frozenset[str]
    locks_at: datetime
    lacks_factor: bool

    def caller(self, mode: Mode) -> Caller:
        """Return this person as the caller of a request about live or test data."""
        sites = self.membership.sites
        return Caller(
            self.row.account_id,
            mode,
            self.row.person_id,
            None if sites is None else frozenset(sites),
            self.permissions,
            kind="person",
            name=self.person_name,
            session=self.row.id,
        )


class Sessions:
    """Begins, reads and ends sessions."""

    def __init__(
        self,
        database: Database,
        store: SessionStore,
        table: PeopleTable,
        clock: Clock,
        permissions: Permissions,
    ) -> None:
        self._database = database
        self._store = store
        self._idle = timedelta(minutes=table.idle_minutes)
        self._longest = timedelta(hours=table.session_hours)
        self._fresh = timedelta(minutes=table.step_up_minutes)
        self._clock = clock
        self._permissions = permissions
        self._everyone = table.second_factor == "everyone"

    async def begin(
        self,
        connection: AsyncConnection,
        person: Person,
        account_id: str,
        method: Method,
        *,
        is_strong: bool,
        agent: str,
        proved_at: datetime | None = None,
    ) -> str:
        """Begin a session in the caller's transaction; returns the cookie, never stored.

        ``proved_at`` is when the person showed a factor, by default now.
        """
        now = self._clock.now()
        cookie = secrets.token_urlsafe(_COOKIE_BYTES)
        row = SessionRow(
            id=new_id("ses", now),
            person_id=person.id,
            account_id=account_id,
            method=method,
            is_strong=is_strong,
            agent=describe_agent(agent),
            created_at=now,
            seen_at=now,
            proved_at=proved_at or now,
            expires_at=now + self._longest,
        )
        await self._store.add(connection, row, cookie_digest(cookie))
        return cookie

    async def read(self, cookie: str | None, *, is_activity: bool = True) -> SignedIn:
        """Return the session of a cookie.

        Raises ``NotAuthenticated`` without one, ``SessionLocked`` after a while without activity. A
        page that refreshes itself doesn't count as activity.
        """
        signed_in = await self.find(cookie)
        if signed_in is None:
            raise NotAuthenticated("No one is signed in here; sign in first.")
        now = self._clock.now()
        row = signed_in.row
        if signed_in.locks_at <= now:
            if row.locked_at is None:
                async with self._database.begin() as connection:
                    await self._store.lock(connection, row.id, now)
            raise SessionLocked("The session is locked; sign in again to go on.")
        if is_activity and now - row.seen_at >= _TOUCH_EVERY:
            async with self._database.begin() as connection:
                await self._store.seen(connection, row.id, now)
        return signed_in._replace(locks_at=now + self._idle) if is_activity else signed_in

    async def find(self, cookie: str | None) -> SignedIn | None:
        """Return the session of a cookie, a locked one too."""
        if not cookie or len(cookie) > _MAX_COOKIE:
            return None
        found = await self._store.look(self._database, cookie_digest(cookie), self._clock.now())
        return None if found is None else self._signed_in(found)

    async def find_all(self, digests: Collection[bytes]) -> dict[bytes, SignedIn]:
        """Return the sessions of some cookies by their digests, in one query; locked ones too."""
        async with self._database.read() as connection:
            found = await self._store.find_all(connection, digests, self._clock.now())
        signed_in = {digest: self._signed_in(each) for digest, each in found.items()}
        return {digest: each for digest, each in signed_in.items() if each is not None}

    def _signed_in(self, found: OpenSession) -> SignedIn | None:
        if found.membership is None:
            return None
        row = found.row
        granted = self._permissions.of_role(found.membership.role)
        needs_second = self._everyone or bool(granted & REVEALING)
        lacks = row.method == "password" and not row.is_strong and needs_second
        return SignedIn(
            row=row,
            person_name=found.person_name,
            language=found.language,
            membership=found.membership,
            permissions=frozenset() if lacks else granted,
            locks_at=row.locked_at or min(row.seen_at + self._idle, row.expires_at),
            lacks_factor=lacks,
        )

    def is_fresh(self, row: SessionRow) -> bool:
        """Return whether a factor was shown in the last minutes."""
        return self._clock.now() - row.proved_at < self._fresh

    def need_fresh_factor(self, row: SessionRow) -> None:
        """Raise ``StepUpRequired`` unless a factor was shown in the last minutes."""
        if not self.is_fresh(row):
            raise StepUpRequired("Show that it is you: confirm with your passkey or code first.")

    async def lock(self, row: SessionRow) -> None:
        """Lock a session at once."""
        async with self._database.begin() as connection:
            await self._store.lock(connection, row.id, self._clock.now())

    async def end(self, cookie: str | None) -> None:
        """End the session of a cookie, if there is one."""
        signed_in = await self.find(cookie)
        if signed_in is not None:
            async with self._database.begin() as connection:
                await self._store.end(connection, session_id=signed_in.row.id)

    async def sweep(self) -> None:
        """Delete expired sessions, drafts, links, codes and counts, as a job."""
        async with self._database.begin() as connection:
            await self._store.sweep(connection, self._clock.now())

    async def of_person(self, person_id: str) -> list[SessionRow]:
        """Return a person's sessions, newest first."""
        async with self._database.read() as connection:
            return await self._store.of_person(connection, person_id, self._clock.now())


def cookie_digest(cookie: str) -> bytes:
    """Return the hash by which a cookie is found."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()


_BROWSERS: Final = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def describe_agent(agent: str) -> str:
    """Return the browser and system of a User-Agent header by their usual names."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser}, {system}"
    shown = "".join(each for each in agent if each.isprintable())
    return browser or system or shown[:_MAX_AGENT] or "unknown"
