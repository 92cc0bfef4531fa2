"""Tries to sign in, as rows that all processes share; each is locked before it is read."""

from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.database import insert_into
from gateway.storage.schema import sign_in_counts


class Count(NamedTuple):
    """A row: the ``number`` of wrong answers or of tries left, and the end of a pause."""

    number: float
    next_at_ms: int
    last_at_ms: int


async def peek(connection: AsyncConnection, digest: bytes) -> Count | None:
    """Return a row without locking it."""
    return await _read(connection, digest, lock=False)


async def lock(connection: AsyncConnection, digest: bytes, new: Count) -> Count:
    """Return a row, locked until the transaction ends; ``new`` is stored where there is none."""
    row = insert_into(connection, sign_in_counts).values(digest=digest, **_values(new))
    await connection.execute(row.on_conflict_do_nothing())
    return await _read(connection, digest, lock=True) or new


async def store(connection: AsyncConnection, digest: bytes, count: Count) -> None:
    """Store a row after :func:`lock`."""
    await connection.execute(
        update(sign_in_counts).where(sign_in_counts.c.digest == digest).values(**_values(count))
    )


async def forget(connection: AsyncConnection, digest: bytes) -> None:
    """Delete a row."""
    await connection.execute(delete(sign_in_counts).where(sign_in_counts.c.digest == digest))


async def give_back(connection: AsyncConnection, digest: bytes, most: float) -> None:
    """Give one try back to a network."""
    row = await _read(connection, digest, lock=True)
    if row is not None:
        await store(connection, digest, row._replace(number=min(most, row.number + 1)))


async def sweep(connection: AsyncConnection, before_ms: int) -> None:
    """Delete rows that were not used since ``before_ms``."""
    await connection.execute(delete(sign_in_counts).where(sign_in_counts.c.last_at_ms < before_ms))


def _values(count: Count) -> dict[str, float]:
    return {
        "count": count.number,
        "next_at_ms": count.next_at_ms,
        "last_at_ms": count.last_at_ms,
    }


async def _read(connection: AsyncConnection, digest: bytes, *, lock: bool) -> Count | None:
    query = select(
        sign_in_counts.c.count.label("tries"),
        sign_in_counts.c.next_at_ms,
        sign_in_counts.c.last_at_ms,
    ).where(sign_in_counts.c.digest == digest)
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else Count(row.tries, row.next_at_ms, row.last_at_ms)
