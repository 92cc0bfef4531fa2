"""Tokens that a browser keeps between two requests of a sign-in: sealed, short-lived, used once.

A token holds a challenge, a state or an incomplete person. It is sealed with the master key, so
that only the gateway's processes can open it; beginning a sign-in writes no row. Used tokens are
stored until they expire.
"""

import base64
import binascii
import hashlib
import os
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, from_epoch_ms, to_epoch_ms
from gateway.errors import NotAuthenticated, SealError
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.stores.sessions import SessionStore

T = TypeVar("T")

TOKEN_LIFE: Final = timedelta(minutes=10)
_MAX_CHARACTERS: Final = 8000
_ID_BYTES: Final = 16


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    expires_at_ms: int
    id: bytes
    data: msgspec.Raw


class OneTimeTokens:
    """Seals, opens and spends tokens."""

    def __init__(self, sealer: Sealer, sessions: SessionStore, clock: Clock) -> None:
        self._sealer = sealer
        self._sessions = sessions
        self._clock = clock

    def seal(self, kind: str, data: msgspec.Struct, life: timedelta = TOKEN_LIFE) -> str:
        """Return a token of ``kind`` that holds ``data`` for its ``life``."""
        held = _Sealed(
            to_epoch_ms(self._clock.now() + life),
            os.urandom(_ID_BYTES),
            msgspec.Raw(msgspec.json.encode(data)),
        )
        sealed = self._sealer.seal(msgspec.json.encode(held), table="token", row_id=kind)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, kind: str, token: str, into: type[T]) -> T:
        """Return the content of a token of ``kind``; raises ``NotAuthenticated``."""
        return msgspec.json.decode(self._read(kind, token).data, type=into)

    async def spend(self, connection: AsyncConnection, kind: str, token: str) -> None:
        """Use a token up in the caller's transaction; raises when it was used before."""
        held = self._read(kind, token)
        digest = hashlib.sha256(held.id).digest()
        expires_at = from_epoch_ms(held.expires_at_ms)
        if not await self._sessions.spend(connection, digest, expires_at):
            raise _expired()

    def expires_at(self, kind: str, token: str) -> datetime:
        """Return when a token ends."""
        return from_epoch_ms(self._read(kind, token).expires_at_ms)

    def _read(self, kind: str, token: str) -> _Sealed:
        try:
            if len(token) > _MAX_CHARACTERS:
                raise _expired()
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            plain = self._sealer.unseal(sealed, table="token", row_id=kind)
        except (SealError, binascii.Error, ValueError) as error:
            raise _expired() from error
        held = msgspec.json.decode(plain, type=_Sealed)
        if held.expires_at_ms <= to_epoch_ms(self._clock.now()):
            raise _expired()
        return held


def _expired() -> NotAuthenticated:
    return NotAuthenticated("This step was done before, or took too long; begin again.")
