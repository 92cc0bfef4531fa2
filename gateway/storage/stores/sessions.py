"""Sessions of signed-in browsers, what was typed when they locked, and what was used once."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.person import Membership, Method, SessionRow
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, among, insert_into
from gateway.storage.schema import (
    drafts,
    invitations,
    memberships,
    owner_codes,
    people,
    sessions,
    spent,
)
from gateway.storage.statements import DRAFT, SESSION_BY_DIGEST
from gateway.storage.stores import sign_in_counts
from gateway.storage.stores.people import read_codes
from gateway.storage.transaction import row_type

_MAX_DRAFTS: Final = 20
_LINKS_KEPT: Final = timedelta(days=30)
_COUNTS_KEPT: Final = timedelta(hours=2)
_SESSION_ROW: Final = row_type(sessions, "person_name", "language", "role", "sites")


class OpenSession(NamedTuple):
    """A session with its person as they are now; ``membership`` of the account it is in."""

    row: SessionRow
    person_name: str
    language: str | None
    membership: Membership | None


class SessionStore:
    """Reads and writes sessions, drafts and spent tokens."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def add(self, connection: AsyncConnection, row: SessionRow, digest: bytes) -> None:
        """Write a new session: the hash of its cookie, never the cookie."""
        await connection.execute(
            insert(sessions).values(
                digest=digest,
                id=row.id,
                person_id=row.person_id,
                account_id=row.account_id,
                method=row.method,
                is_strong=row.is_strong,
                agent=row.agent,
                created_at_ms=to_epoch_ms(row.created_at),
                seen_at_ms=to_epoch_ms(row.seen_at),
                proved_at_ms=to_epoch_ms(row.proved_at),
                expires_at_ms=to_epoch_ms(row.expires_at),
            )
        )

    async def find(
        self, connection: AsyncConnection, digest: bytes, now: datetime
    ) -> OpenSession | None:
        """Return the session of a cookie's hash: not expired, its person not disabled."""
        return (await self.find_all(connection, [digest], now)).get(digest)

    async def look(self, database: Database, digest: bytes, now: datetime) -> OpenSession | None:
        """Return the same, read as quickly as the database can (:meth:`Database.look`)."""
        found = await database.look(SESSION_BY_DIGEST, digest=digest, now_ms=to_epoch_ms(now))
        return _open_session(_SESSION_ROW(found[0])) if found else None

    async def find_all(
        self, connection: AsyncConnection, digests: Collection[bytes], now: datetime
    ) -> dict[bytes, OpenSession]:
        """Return the sessions of some cookies' hashes, by hash."""
        joined = sessions.join(people, people.c.id == sessions.c.person_id).outerjoin(
            memberships,
            (memberships.c.person_id == sessions.c.person_id)
            & (memberships.c.account_id == sessions.c.account_id),
        )
        found = await connection.execute(
            select(
                sessions,
                people.c.name.label("person_name"),
                people.c.language,
                memberships.c.role,
                memberships.c.sites,
            )
            .select_from(joined)
            .where(
                sessions.c.digest.in_(digests),
                sessions.c.expires_at_ms > to_epoch_ms(now),
                people.c.disabled_at_ms.is_(None),
            )
        )
        return {bytes(row.digest): _open_session(row) for row in found}

    async def seen(self, connection: AsyncConnection, session_id: str, at: datetime) -> None:
        """Note activity; a session that is locked stays so."""
        await connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.locked_at_ms.is_(None))
            .values(seen_at_ms=to_epoch_ms(at))
        )

    async def lock(self, connection: AsyncConnection, session_id: str, at: datetime) -> None:
        """Lock a session: nothing but a sign-in goes on from here."""
        await connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.locked_at_ms.is_(None))
            .values(locked_at_ms=to_epoch_ms(at))
        )

    async def proved(
        self, connection: AsyncConnection, session_id: str, at: datetime, *, is_strong: bool
    ) -> None:
        """Note that a factor was shown again."""
        values: dict[str, Any] = {"proved_at_ms": to_epoch_ms(at), "seen_at_ms": to_epoch_ms(at)}
        if is_strong:
            values["is_strong"] = True
        await connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.locked_at_ms.is_(None))
            .values(**values)
        )

    async def switch(self, connection: AsyncConnection, session_id: str, account_id: str) -> None:
        """Take a session to another account of its person."""
        await connection.execute(
            update(sessions).where(sessions.c.id == session_id).values(account_id=account_id)
        )

    async def of_person(
        self, connection: AsyncConnection, person_id: str, now: datetime
    ) -> list[SessionRow]:
        """Return a person's sessions that haven't expired, newest first."""
        rows = await connection.execute(
            select(sessions)
            .where(sessions.c.person_id == person_id, sessions.c.expires_at_ms > to_epoch_ms(now))
            .order_by(sessions.c.id.desc())
        )
        return [_session(row) for row in rows]

    async def counts(
        self, connection: AsyncConnection, person_ids: Collection[str], now: datetime
    ) -> dict[str, int]:
        """Return how many sessions that haven't expired people have, by person id."""
        found = await connection.execute(
            select(sessions.c.person_id, func.count())
            .where(
                among(connection, sessions.c.person_id, person_ids),
                sessions.c.expires_at_ms > to_epoch_ms(now),
            )
            .group_by(sessions.c.person_id)
        )
        return {person_id: int(number) for person_id, number in found}

    async def end(
        self,
        connection: AsyncConnection,
        *,
        session_id: str | None = None,
        person_id: str | None = None,
        besides: str | None = None,
    ) -> int:
        """End a session, or all of a person ``besides`` one; returns how many."""
        if session_id is None and person_id is None:
            raise ValueError("name a session or a person")
        query = delete(sessions)
        if session_id is not None:
            query = query.where(sessions.c.id == session_id)
        if person_id is not None:
            query = query.where(sessions.c.person_id == person_id)
        if besides is not None:
            query = query.where(sessions.c.id != besides)
        return (await connection.execute(query)).rowcount

    async def keep_draft(
        self,
        connection: AsyncConnection,
        draft_id: str,
        person_id: str,
        path: str,
        data: bytes,
        expires_at: datetime,
    ) -> None:
        """Keep what a person typed into the page at ``path``, in place of an earlier draft."""
        await connection.execute(
            delete(drafts).where(drafts.c.person_id == person_id, drafts.c.path == path)
        )
        older = (
            select(drafts.c.id)
            .where(drafts.c.person_id == person_id)
            .order_by(drafts.c.id.desc())
            .offset(_MAX_DRAFTS - 1)
            .limit(1000)
        )
        await connection.execute(delete(drafts).where(drafts.c.id.in_(older)))
        await connection.execute(
            insert(drafts).values(
                id=draft_id,
                person_id=person_id,
                path=path,
                data=self._sealer.seal(data, table=drafts.name, row_id=draft_id),
                expires_at_ms=to_epoch_ms(expires_at),
            )
        )

    async def read_draft(
        self, database: Database, person_id: str, path: str, now: datetime
    ) -> bytes | None:
        """Return what was kept for this person under ``path``, and keep it."""
        found = await database.look(DRAFT, person_id=person_id, path=path, now_ms=to_epoch_ms(now))
        if not found:
            return None
        [(draft_id, data)] = found
        return self._sealer.unseal(bytes(data), table=drafts.name, row_id=draft_id)

    async def take_draft(
        self, connection: AsyncConnection, person_id: str, path: str, now: datetime
    ) -> bytes | None:
        """Return what this person typed into the page at ``path``, and keep it no longer."""
        found = await connection.execute(
            delete(drafts)
            .where(
                drafts.c.person_id == person_id,
                drafts.c.path == path,
                drafts.c.expires_at_ms > to_epoch_ms(now),
            )
            .returning(drafts.c.id, drafts.c.data)
        )
        row = found.first()
        if row is None:
            return None
        return self._sealer.unseal(bytes(row.data), table=drafts.name, row_id=row.id)

    async def spend(self, connection: AsyncConnection, digest: bytes, expires_at: datetime) -> bool:
        """Use a token once; false when it was used before, by any process."""
        new = insert_into(connection, spent).values(
            digest=digest, expires_at_ms=to_epoch_ms(expires_at)
        )
        return (await connection.execute(new.on_conflict_do_nothing())).rowcount == 1

    async def sweep(self, connection: AsyncConnection, now: datetime) -> None:
        """Delete what has expired: sessions, drafts, tokens, links, codes, counts of tries.

        Used and expired links are kept for 30 days, so that opening one says what it is.
        """
        now_ms = to_epoch_ms(now)
        for table in (sessions, drafts, spent, owner_codes):
            await connection.execute(delete(table).where(table.c.expires_at_ms <= now_ms))
        old_ms = to_epoch_ms(now - _LINKS_KEPT)
        await connection.execute(delete(invitations).where(invitations.c.expires_at_ms <= old_ms))
        await sign_in_counts.sweep(connection, to_epoch_ms(now - _COUNTS_KEPT))


def _open_session(row: Any) -> OpenSession:
    membership = (
        None
        if row.role is None
        else Membership(row.account_id, row.person_id, row.role, read_codes(row.sites))
    )
    return OpenSession(_session(row), row.person_name, row.language, membership)


def _session(row: Any) -> SessionRow:
    method: Method = row.method
    return SessionRow(
        id=row.id,
        person_id=row.person_id,
        account_id=row.account_id,
        method=method,
        is_strong=bool(row.is_strong),
        agent=row.agent,
        created_at=from_epoch_ms(row.created_at_ms),
        seen_at=from_epoch_ms(row.seen_at_ms),
        proved_at=from_epoch_ms(row.proved_at_ms),
        expires_at=from_epoch_ms(row.expires_at_ms),
        locked_at=None if row.locked_at_ms is None else from_epoch_ms(row.locked_at_ms),
    )
