"""API keys: made once, shown once, looked up in every batch.

A key is 192 random bits behind ``sk_live_`` or ``sk_test_``. Only its SHA-256 is
kept: with that much randomness a slow hash would protect nothing more. Keys are
read from the database for every batch of requests and never cached, so a key that
is revoked, by whatever process, is refused from the next request on.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from gateway.clock import Clock
from gateway.errors import NotAuthenticated, NotFound
from gateway.model.account import ApiKey, Caller, IssuedKey, Mode
from gateway.model.ids import new_id
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.stores import audit
from gateway.storage.stores.accounts import AccountStore

_KEY_BYTES: Final = 24
_SHOWN_CHARACTERS: Final = 12
_MAX_KEY_CHARACTERS: Final = 200


class Keys:
    """Issues, recognises and revokes API keys."""

    def __init__(
        self,
        database: Database,
        accounts: AccountStore,
        clock: Clock,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock
        self._lookups: Batcher[bytes, Caller] = Batcher(
            self._look_up, observe=(metrics or Metrics()).batches("keys")
        )

    async def authenticate(self, key: str | None) -> Caller:
        """Return who ``key`` stands for; raises ``NotAuthenticated`` when it stands for nobody."""
        if not key:
            raise NotAuthenticated("Send your API key in the X-API-Key header.")
        if len(key) > _MAX_KEY_CHARACTERS:
            raise _unknown()
        return await self._lookups.submit(_digest(key))

    async def _look_up(self, digests: Sequence[bytes]) -> Sequence[Caller | Exception]:
        async with self._database.read() as connection:
            known = await self._accounts.keys_by_digest(connection, set(digests))
        return [_caller(known.get(digest)) for digest in digests]

    async def issue(
        self,
        name: str,
        *,
        account_id: str,
        actor: str,
        mode: Mode = "live",
        site: str | None = None,
    ) -> IssuedKey:
        """Make a key. The answer is the only place where it stands in clear."""
        now = self._clock.now()
        key = f"sk_{mode}_{secrets.token_hex(_KEY_BYTES)}"
        row = ApiKey(
            id=new_id("key", now),
            account_id=account_id,
            name=name,
            mode=mode,
            prefix=key[:_SHOWN_CHARACTERS],
            site=site,
            created_at=now,
            revoked_at=None,
        )
        async with self._database.begin() as connection:
            await self._accounts.ensure(connection, account_id, now)
            await self._accounts.add_key(connection, row, _digest(key))
            entry = audit.AuditEntry(account_id, actor, "key.created", row.id)
            await audit.append(connection, [entry], now)
        return IssuedKey(row.id, key, name, mode, site)

    async def list(self, account_id: str | None = None) -> list[ApiKey]:
        """Return all keys, revoked ones too; of one account if it is named."""
        async with self._database.read() as connection:
            return await self._accounts.list_keys(connection, account_id)

    async def revoke(self, key_id: str, *, actor: str) -> ApiKey:
        """End a key for good; raises ``NotFound``. Revoking it again changes nothing."""
        now = self._clock.now()
        async with self._database.begin() as connection:
            key = await self._accounts.revoke_key(connection, key_id, now)
            if key is None:
                raise NotFound("There is no such key; gateway keys list shows the ids.")
            entry = audit.AuditEntry(key.account_id, actor, "key.revoked", key_id)
            await audit.append(connection, [entry], now)
        return key


def _unknown() -> NotAuthenticated:
    # A new one each time: an exception that is raised again keeps the frames of all its raises.
    return NotAuthenticated(
        "This API key is not valid; check it, or ask for a new one (gateway keys create)."
    )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _caller(key: ApiKey | None) -> Caller | Exception:
    if key is None:
        return _unknown()
    if key.revoked_at is not None:
        return NotAuthenticated("This API key was revoked; ask for a new one.")
    return Caller(key.account_id, key.mode, key.id, key.site)
