"""A person's search texts, and input from before a lock: sealed, for a short time.

A patient is searched by a POST; the URL of the result has a token in place of the name.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from gateway.auth.identity import Identity
from gateway.clock import Clock
from gateway.model.ids import new_id
from gateway.sdk.page_request import Query
from gateway.storage.database import Database

_LIFE: Final = timedelta(minutes=15)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_TOKEN_BYTES: Final = 16
_MAX_TEXT: Final = 500
_MAX_DRAFT_BYTES: Final = 64 * 1024

Draft = Mapping[str, str | list[str]]
"""The typed input, by name; a field of checkboxes has the checked values."""

NO_DRAFT: Final[Draft] = {}


class PageMemories:
    """Keeps searches and drafts."""

    def __init__(self, database: Database, identity: Identity, clock: Clock) -> None:
        self._database = database
        self._store = identity.parts.store
        self._clock = clock

    async def remember(self, person_id: str, text: str) -> str:
        """Keep a text for a person; returns its token."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock.now()
        async with self._database.begin() as connection:
            await self._store.keep_draft(
                connection, new_id("dra", now), person_id, _path(token),
                text[:_MAX_TEXT].encode(), now + _LIFE,
            )  # fmt: skip
        return token

    async def recall(self, person_id: str, token: str) -> str | None:
        """Return the text of a token; ``None`` after 15 minutes, or for another person."""
        if not _TOKEN.fullmatch(token):
            return None
        found = await self._store.read_draft(
            self._database, person_id, _path(token), self._clock.now()
        )
        return None if found is None else found.decode()

    async def take_draft(self, person_id: str, path: str) -> Draft:
        """Return, once, a person's input of the page at ``path`` before it locked."""
        now = self._clock.now()
        if await self._store.read_draft(self._database, person_id, path, now) is None:
            return NO_DRAFT
        async with self._database.begin() as connection:
            kept = await self._store.take_draft(connection, person_id, path, now)
        return (
            NO_DRAFT if kept is None else msgspec.json.decode(kept, type=dict[str, str | list[str]])
        )

    async def keep_draft(self, person_id: str, path: str, form: Query) -> None:
        """Keep a person's input of the page at ``path`` until they have confirmed."""
        fields = {name: form.all(name) for name in form}
        data, now = msgspec.json.encode(fields), self._clock.now()
        if not fields or len(data) > _MAX_DRAFT_BYTES:
            return
        async with self._database.begin() as connection:
            await self._store.keep_draft(
                connection, new_id("dra", now), person_id, path, data, now + _LIFE
            )


def query_of(draft: Draft) -> Query:
    """Return a draft as the fields of a form."""
    return Query(
        [
            (name, value)
            for name, given in draft.items()
            for value in ([given] if isinstance(given, str) else given)
        ]
    )


def _path(token: str) -> str:
    return f"search:{token}"
