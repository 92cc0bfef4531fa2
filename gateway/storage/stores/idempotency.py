"""Replayable answers: the first answer to an idempotency key, kept for a day.

(draft-ietf-httpapi-idempotency-key-header; what Stripe's API made customary.)
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.errors import Conflict, GatewayError, IdempotencyKeyReused
from gateway.model.account import Caller
from gateway.model.submission import Idempotency
from gateway.storage.schema import idempotency

KEEP_FOR: Final = timedelta(hours=24)
# Made once: an element of a statement is a dozen objects in cycles, left to the garbage collector.
_SAME: Final = tuple_(idempotency.c.account_id, idempotency.c.key_digest).in_(
    bindparam("keys", expanding=True)
)
_OVER: Final = delete(idempotency).where(
    _SAME, idempotency.c.created_at_ms < bindparam("before_ms")
)
_STORED: Final = select(idempotency).where(_SAME)

KeyId = tuple[str, bytes]
"""Account and digest of the key."""


class KeyedRequest(NamedTuple):
    """A request that came with an idempotency key, and the digest of its content."""

    key: KeyId
    request_digest: bytes


class StoredResponse(NamedTuple):
    """A stored response, and the request that it answered."""

    key: KeyId
    request_digest: bytes
    response: bytes


def key_id(caller: Caller, key: str) -> KeyId:
    """Return the id that a key is stored under: its digest, for a key may contain a name.

    Callers bound to sites have keys of their own: two sites may both count from 1.
    """
    sites = caller.sites
    whose = caller.mode if sites is None else f"{caller.mode}@{'+'.join(sorted(sites))}"
    return caller.account_id, hashlib.sha256(f"{whose}:{key}".encode()).digest()


def keyed_request(caller: Caller, idempotency: Idempotency | None) -> KeyedRequest | None:
    """Return a request's key and digest, ``None`` when it came without a key."""
    if idempotency is None:
        return None
    return KeyedRequest(key_id(caller, idempotency.key), idempotency.request_digest)


async def split_replays(
    connection: AsyncConnection, requests: Sequence[KeyedRequest | None], now: datetime
) -> tuple[dict[int, bytes | GatewayError], list[int]]:
    """Split the requests of a batch into replays and new ones.

    Returns, by place, the stored response or the error: the key was used for another request, or
    an earlier one of this batch has it. Then the places of the new requests.
    """
    kept = await stored_responses(connection, {each.key for each in requests if each}, now)
    answers: dict[int, bytes | GatewayError] = {}
    fresh: list[int] = []
    running: set[KeyId] = set()
    for place, request in enumerate(requests):
        if request is None:
            fresh.append(place)
        elif request.key in kept:
            answers[place] = _again(kept[request.key], request)
        elif request.key in running:
            answers[place] = Conflict(
                "The first request with this Idempotency-Key is still running; try again."
            )
        else:
            running.add(request.key)
            fresh.append(place)
    return answers, fresh


def _again(kept: StoredResponse, request: KeyedRequest) -> bytes | GatewayError:
    if kept.request_digest == request.request_digest:
        return kept.response
    return IdempotencyKeyReused(
        "This Idempotency-Key was used with another request body; use a new key for a new request."
    )


async def stored_responses(
    connection: AsyncConnection, keys: Collection[KeyId], now: datetime
) -> dict[KeyId, StoredResponse]:
    """Return the responses stored for ``keys``; deletes those past their time."""
    if not keys:
        return {}
    named = {"keys": list(keys)}
    await connection.execute(_OVER, {**named, "before_ms": to_epoch_ms(now - KEEP_FOR)})
    rows = await connection.execute(_STORED, named)
    answers = (
        StoredResponse(
            (row.account_id, bytes(row.key_digest)), bytes(row.request_digest), bytes(row.response)
        )
        for row in rows
    )
    return {answer.key: answer for answer in answers}


async def store_responses(
    connection: AsyncConnection, answers: Sequence[StoredResponse], now: datetime
) -> None:
    """Store first responses, in the transaction that they report."""
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
                for answer in sorted(answers)  # in one order, so that no two transactions deadlock
            ],
        )
