"""Replayable answers: the first answer to an idempotency key, kept for a day.

(draft-ietf-httpapi-idempotency-key-header; what Stripe's API made customary.)
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.model.account import Caller
from gateway.storage.tables import idempotency

KEPT: Final = timedelta(hours=24)

KeyId = tuple[str, bytes]
"""Account and digest of the key."""


class KeptAnswer(NamedTuple):
    """An answer that was given: to which request, and what it said."""

    key: KeyId
    request_digest: bytes
    response: bytes


def key_id(caller: Caller, key: str) -> KeyId:
    """Return what a key is stored under: its digest, for a caller may have put a name in it.

    Callers that are bound to a site have keys of their own: two sites may both count from 1.
    """
    whose = caller.mode if caller.site is None else f"{caller.mode}@{caller.site}"
    return caller.account_id, hashlib.sha256(f"{whose}:{key}".encode()).digest()


async def kept_answers(
    connection: AsyncConnection, keys: Collection[KeyId], now: datetime
) -> dict[KeyId, KeptAnswer]:
    """Return the answers still kept for ``keys``; older ones are forgotten on the way."""
    if not keys:
        return {}
    same = tuple_(idempotency.c.account_id, idempotency.c.key_digest).in_(list(keys))
    await connection.execute(
        delete(idempotency).where(same, idempotency.c.created_at_ms < to_epoch_ms(now - KEPT))
    )
    rows = await connection.execute(select(idempotency).where(same))
    answers = (
        KeptAnswer(
            (row.account_id, bytes(row.key_digest)), bytes(row.request_digest), bytes(row.response)
        )
        for row in rows
    )
    return {answer.key: answer for answer in answers}


async def keep_answers(
    connection: AsyncConnection, answers: Sequence[KeptAnswer], now: datetime
) -> None:
    """Store first answers, in the transaction of what they tell of."""
    if answers:
        await connection.execute(
            insert(idempotency),
            [
                {
                    "account_id": answer.key[0],
                    "key_digest": answer.key[1],
                    "request_digest": answer.request_digest,
                    "response": answer.response,
                    "created_at_ms": to_epoch_ms(now),
                }
                for answer in sorted(answers)  # one order for all: nobody locks anybody out
            ],
        )
