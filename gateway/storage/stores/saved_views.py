"""Saved views: lists that a person narrowed and gave a name, for that person and account alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.schema import saved_views

MOST_VIEWS: Final = 12
"""How many views a person may save of a page, in each account."""


class ViewOwner(NamedTuple):
    """A person in an account, and the page that the views are of."""

    account_id: str
    person_id: str
    page: str


class SavedView(NamedTuple):
    """A view under the person's own name; ``query`` is the address's, without ``?``."""

    id: str
    name: str
    query: str


class SavedViewStore:
    """Reads and writes saved views; name and address are sealed: the name may be a patient's."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._decoder = msgspec.json.Decoder(tuple[str, str])

    async def of(self, connection: AsyncConnection, owner: ViewOwner) -> Sequence[SavedView]:
        """Return a person's views of a page, in the order in which they were saved."""
        query = select(saved_views.c.id, saved_views.c.data).where(*_owned(owner))
        rows = await connection.execute(query.order_by(saved_views.c.id).limit(MOST_VIEWS))
        return [SavedView(row.id, *self._open(row.id, row.data)) for row in rows]

    async def add(
        self, connection: AsyncConnection, owner: ViewOwner, view: SavedView, now: datetime
    ) -> bool:
        """Save a view; false, and nothing is written, where the person has all that they may."""
        number = select(func.count()).select_from(saved_views).where(*_owned(owner))
        if (await connection.execute(number)).scalar_one() >= MOST_VIEWS:
            return False
        await connection.execute(
            insert(saved_views).values(
                **owner._asdict(),
                id=view.id,
                data=self._sealed(view),
                created_at_ms=to_epoch_ms(now),
            )
        )
        return True

    async def change(self, connection: AsyncConnection, owner: ViewOwner, view: SavedView) -> bool:
        """Write a view's name and query again; false where the person has no such view."""
        same = update(saved_views).where(*_owned(owner), saved_views.c.id == view.id)
        return (await connection.execute(same.values(data=self._sealed(view)))).rowcount == 1

    async def remove(self, connection: AsyncConnection, owner: ViewOwner, view_id: str) -> bool:
        """Delete a view; false where the person has no such view."""
        gone = delete(saved_views).where(*_owned(owner), saved_views.c.id == view_id)
        return (await connection.execute(gone)).rowcount == 1

    def _sealed(self, view: SavedView) -> bytes:
        plain = msgspec.json.encode((view.name, view.query))
        return self._sealer.seal(plain, table=saved_views.name, row_id=view.id)

    def _open(self, view_id: str, data: bytes) -> tuple[str, str]:
        plain = self._sealer.unseal(bytes(data), table=saved_views.name, row_id=view_id)
        return self._decoder.decode(plain)


async def forget_views(connection: AsyncConnection, account_id: str, person_id: str) -> None:
    """Delete all views of a person who leaves an account."""
    await connection.execute(
        delete(saved_views).where(
            saved_views.c.person_id == person_id, saved_views.c.account_id == account_id
        )
    )


def _owned(owner: ViewOwner) -> tuple[ColumnElement[bool], ...]:
    return tuple(saved_views.c[name] == value for name, value in owner._asdict().items())
