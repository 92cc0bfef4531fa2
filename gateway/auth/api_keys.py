"""API keys: created once, shown once, looked up in the database for every batch.

A key is 192 random bits behind ``sk_live_`` or ``sk_test_``. Only its SHA-256 is
stored: with that much randomness a slow hash adds no protection. Keys are never
cached, so a key revoked by any process is refused from the next request on.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from gateway.auth.roles import LEGACY_SCOPES
from gateway.clock import Clock
from gateway.errors import NotAuthenticated, NotFound
from gateway.model.account import ApiKey, Caller, IssuedKey, Mode
from gateway.model.audit import AuditEntry, via_of
from gateway.model.ids import new_id
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.audit import AuditTrail

_KEY_BYTES: Final = 24
_SHOWN_CHARACTERS: Final = 12
_MAX_KEY_CHARACTERS: Final = 200


class Keys:
    """Issues, looks up and revokes API keys."""

    def __init__(
        self,
        database: Database,
        accounts: AccountStore,
        audit: AuditTrail,
        clock: Clock,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._audit = audit
        self._clock = clock
        self._lookups: Batcher[bytes, Caller] = Batcher(
            self._look_up, observe=(metrics or Metrics()).batches("keys")
        )

    async def authenticate(self, key: str | None) -> Caller:
        """Return the caller that ``key`` belongs to; raises ``NotAuthenticated``."""
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
        """Create a key. The result is the only place that has it in clear text."""
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
            entry = AuditEntry(
                account_id,
                actor,
                "key.created",
                row.id,
                kind="create",
                site=site,
                via=via_of(actor),
            )
            await self._audit.record(connection, [entry], now)
        return IssuedKey(row.id, key, name, mode, site)

    async def list(self, account_id: str | None = None) -> list[ApiKey]:
        """Return all keys, revoked ones included; of one account if ``account_id`` is given."""
        async with self._database.read() as connection:
            return await self._accounts.list_keys(connection, account_id)

    async def still_valid(self, caller: Caller) -> bool:
        """Return whether the caller's key has not been revoked since it was looked up.

        For requests that wait: a long poll checks again before it answers.
        """
        keys = await self.list(caller.account_id)
        return any(key.id == caller.actor and key.revoked_at is None for key in keys)

    async def revoke(self, key_id: str, *, actor: str) -> ApiKey:
        """Revoke a key for good; raises ``NotFound``. Revoking it again changes nothing."""
        now = self._clock.now()
        async with self._database.begin() as connection:
            key = await self._accounts.revoke_key(connection, key_id, now)
            if key is None:
                raise NotFound("No such key; gateway keys list shows the ids.")
            entry = AuditEntry(
                key.account_id, actor, "key.revoked", key_id, site=key.site, via=via_of(actor)
            )
            await self._audit.record(connection, [entry], now)
        return key


def _unknown() -> NotAuthenticated:
    # A new instance each time: one raised again would keep the frames of every raise.
    return NotAuthenticated(
        "This API key is not valid; check it, or create a new one (gateway keys create)."
    )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _caller(key: ApiKey | None) -> Caller | Exception:
    if key is None:
        return _unknown()
    if key.revoked_at is not None:
        return NotAuthenticated("This API key was revoked; create a new one (gateway keys create).")
    return Caller(
        key.account_id,
        key.mode,
        key.id,
        None if key.site is None else frozenset({key.site}),
        LEGACY_SCOPES,
        kind="key",
        name=key.name,
    )
