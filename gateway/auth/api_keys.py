"""API keys: created once, shown once, looked up in the database for every batch.

A key is 192 random bits behind ``sk_live_`` or ``sk_test_``. Only its SHA-256 is stored: with that
much randomness a slow hash adds no protection. Keys are never cached, so a key that any process
revokes or narrows is refused from the next request on. A row that the gateway didn't write opens
nothing (:mod:`gateway.storage.crypto.key_binding`).
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.key_grants import KeyState, check_grant, key_state, narrowed, sees_key
from gateway.auth.roles import DEFAULT_PRESET, Permissions, permissions_of, stored
from gateway.clock import Clock, to_epoch_ms
from gateway.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    Problem,
)
from gateway.model.account import ApiKey, Caller, IssuedKey, Mode
from gateway.model.audit import AuditEntry, via_of
from gateway.model.ids import new_id
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.crypto.key_binding import UNBOUND, KeyBinder
from gateway.storage.database import Database
from gateway.storage.stores import installation
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.transaction import Transaction

_KEY_BYTES: Final = 24
_SHOWN_CHARACTERS: Final = 12
_MAX_KEY_CHARACTERS: Final = 200
_MAX_NAME: Final = 100
_USE_SECONDS: Final = 60.0
_MOST_WARNED: Final = 1000
_MOST_KEPT: Final = 1024

_log = logging.getLogger(__name__)


class Keys:
    """Issues, looks up, narrows and revokes API keys."""

    def __init__(
        self,
        database: Database,
        accounts: AccountStore,
        audit: AuditTrail,
        clock: Clock,
        binder: KeyBinder,
        permissions: Permissions,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._audit = audit
        self._clock = clock
        self._binder = binder
        self._permissions = permissions
        self._lookups: Batcher[bytes, Caller] = Batcher(
            self._look_up, observe=(metrics or Metrics()).batches("keys")
        )
        self._callers: dict[str, tuple[ApiKey, Caller]] = {}
        self._warned: set[str] = set()
        self._used: dict[str, datetime] = {}
        self._uses_written_at = -_USE_SECONDS
        self._writing_uses: asyncio.Task[None] | None = None

    async def authenticate(self, key: str | None) -> Caller:
        """Return the caller that ``key`` belongs to; raises ``NotAuthenticated``."""
        if not key:
            raise NotAuthenticated("Send your API key in the X-API-Key header.")
        if len(key) > _MAX_KEY_CHARACTERS:
            raise _unknown()
        digest = _digest(key)
        found = self._accounts.key_at_once(self._database, digest)
        if found is None:
            return await self._lookups.submit(digest)
        row, now = found.get(digest), self._clock.now()
        answer = _unknown() if row is None else self._caller(row, now)
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                # Its traceback has this frame: the two would wait for the garbage collector.
                del answer
        self._note_uses([answer], now)
        return answer

    async def _look_up(self, digests: Sequence[bytes]) -> Sequence[Caller | Exception]:
        async def look_up(transaction: Transaction) -> dict[bytes, ApiKey]:
            return await self._accounts.keys_by_digest(transaction, set(digests))

        return self._answered(digests, await self._database.transact(look_up))

    def _answered(
        self, digests: Sequence[bytes], known: Mapping[bytes, ApiKey]
    ) -> Sequence[Caller | Exception]:
        now = self._clock.now()
        callers = {digest: self._caller(key, now) for digest, key in known.items()}
        self._note_uses(callers.values(), now)
        return [callers.get(digest) or _unknown() for digest in digests]

    def _caller(self, key: ApiKey, now: datetime) -> Caller | Exception:
        """Return whom a key that was read just now lets in.

        The store returns the same object for a row that didn't change since, so its MAC and its
        permissions are the same, too; the time alone goes on.
        """
        known = self._callers.get(key.id)
        if known is not None and known[0] is key and not _has_ended(key, now):
            return known[1]
        found = self._checked(key, now)
        if isinstance(found, Caller):
            if len(self._callers) >= _MOST_KEPT:
                self._callers.clear()
            self._callers[key.id] = (key, found)
        return found

    def _checked(self, key: ApiKey, now: datetime) -> Caller | Exception:
        if not self._binder.is_bound(key):
            if key.id not in self._warned and len(self._warned) < _MOST_WARNED:
                self._warned.add(key.id)
                _log.warning(
                    "the row of API key %s was not written by this gateway: it opens nothing; "
                    "revoke it (gateway keys revoke) and look for who can write the database",
                    key.id,
                )
            return _unknown()
        if key.revoked_at is not None:
            return NotAuthenticated(
                "This API key was revoked; create a new one (gateway keys create)."
            )
        if _has_ended(key, now):
            return NotAuthenticated(
                "This API key has expired; create a new one (gateway keys create)."
            )
        if key.maker_left:
            return NotAuthenticated(
                "The person who made this API key is not here any more: keep it "
                "(gateway keys keep) or create a new one (gateway keys create)."
            )
        return Caller(
            key.account_id,
            key.mode,
            key.id,
            None if key.site is None else frozenset({key.site}),
            _permissions_of(key.scopes),
            kind="key",
            name=key.name,
            party=key.party,
        )

    def _note_uses(self, callers: Iterable[Caller | Exception], now: datetime) -> None:
        """Remember which keys were used; store it once a minute, outside of the requests."""
        for caller in callers:
            if isinstance(caller, Caller):
                self._used[caller.actor] = now
        if self._clock.monotonic_seconds() - self._uses_written_at < _USE_SECONDS:
            return
        is_writing = self._writing_uses is not None and not self._writing_uses.done()
        if self._used and not is_writing:
            self._writing_uses = asyncio.create_task(self._write_uses())

    async def _write_uses(self) -> None:
        self._uses_written_at = self._clock.monotonic_seconds()
        used = {actor: to_epoch_ms(at) for actor, at in self._used.items()}
        self._used = {}
        try:
            async with self._database.begin() as connection:
                await self._accounts.note_uses(connection, used, int(_USE_SECONDS * 1000))
        except Exception as error:  # noqa: BLE001 - no request fails for it; the next minute counts
            _log.warning("when keys were used could not be written (%s)", type(error).__name__)

    async def drained(self) -> None:
        """Store when keys were last used."""
        if self._writing_uses is not None:
            await self._writing_uses
        if self._used:
            await self._write_uses()

    async def issue(  # noqa: PLR0913 - one for each thing that a key has
        self,
        name: str,
        *,
        account_id: str,
        actor: str,
        mode: Mode = "live",
        site: str | None = None,
        scopes: Sequence[str] = (DEFAULT_PRESET,),
        expires_at: datetime | None = None,
        party: str | None = None,
        maker: Caller | None = None,
    ) -> IssuedKey:
        """Create a key. Only the result contains it in clear text.

        ``scopes`` are permissions and presets. ``party`` names another organisation that uses the
        key: what it reads in full is a disclosure. A ``maker`` can't grant a permission that it
        lacks; without one the command line makes the key. Raises ``InvalidInput`` or
        ``NotAllowed``.
        """
        granted = self._permissions.scopes(scopes)
        if not 0 < len(name.strip()) <= _MAX_NAME or not name.isprintable():
            raise InvalidInput(
                "The key needs a name.",
                [Problem(f"must be one line of up to {_MAX_NAME} characters", field="name")],
            )
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("A key must expire in the future.")
        if party is not None and not (0 < len(party) <= _MAX_NAME and party.isprintable()):
            raise InvalidInput(
                "The other party's name can't be right.",
                [Problem(f"must be one line of up to {_MAX_NAME} characters", field="party")],
            )
        if maker is not None:
            await self._check_grant(maker, granted, mode, site)
            party = maker.party or party
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
            scopes=stored(granted),
            expires_at=expires_at,
            digest=_digest(key),
            made_by=maker.actor if maker is not None and maker.kind == "person" else None,
            party=party,
        )
        async with self._database.begin() as connection:
            if maker is not None and maker.kind == "key":
                row = await self._of_maker(connection, maker, row)
            await self._accounts.ensure(connection, account_id, now)
            await self._accounts.add_key(connection, row, self._binder.binding(row))
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
        return IssuedKey(
            row.id, key, name, mode, site, tuple(sorted(granted)), row.expires_at, row.party
        )

    async def _check_grant(
        self, maker: Caller, granted: frozenset[str], mode: Mode, site: str | None
    ) -> None:
        """Raise for permissions that ``maker`` can't grant; audit those that it lacks."""
        try:
            check_grant(maker, granted, mode, site)
        except Forbidden as error:
            entry = AuditEntry.by(
                maker, "denied", "permission.denied", error.permission, outcome="denied"
            )
            await self._audit.note([entry])
            raise

    async def _of_maker(self, connection: AsyncConnection, maker: Caller, row: ApiKey) -> ApiKey:
        """Return ``row`` so that it ends with its maker's key, and depends on that key's person.

        Raises ``InvalidInput``.
        """
        made_by = await self._accounts.key(connection, maker.actor)
        if made_by is not None:
            row = msgspec.structs.replace(row, made_by=made_by.made_by)
        ends = None if made_by is None else made_by.expires_at
        if ends is None:
            return row
        if row.expires_at is not None and row.expires_at > ends:
            raise InvalidInput("A key can't outlive the key that makes it; let it expire earlier.")
        return msgspec.structs.replace(row, expires_at=row.expires_at or ends)

    async def list(self, account_id: str | None = None) -> list[ApiKey]:
        """Return all keys, revoked ones included; of one account if ``account_id`` is given."""
        async with self._database.read() as connection:
            return await self._accounts.list_keys(connection, account_id)

    def state(self, key: ApiKey) -> KeyState:
        """Return the state of a key's row."""
        return key_state(self._binder, key, self._clock.now())

    async def still_valid(self, caller: Caller) -> bool:
        """Return whether the caller's key still has its permissions.

        For waiting requests: a long poll checks again before it answers.
        """
        async with self._database.read() as connection:
            key = await self._accounts.key(connection, caller.actor)
        now_is = None if key is None else self._caller(key, self._clock.now())
        return isinstance(now_is, Caller) and now_is.permissions >= caller.permissions

    async def narrow(
        self,
        key_id: str,
        *,
        actor: str,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        dry_run: bool = False,
        maker: Caller | None = None,
    ) -> tuple[ApiKey, ApiKey]:
        """Remove scopes or time from a key, from the next request on; never add any.

        Returns the key before and after. A ``maker`` narrows only keys that it may see. Raises
        ``NotFound``, ``InvalidInput``, or ``Conflict`` for a key that isn't active.
        """
        wanted = None if scopes is None else self._permissions.scopes(scopes)
        now = self._clock.now()
        async with self._database.begin() as connection:
            before = await self._accounts.key(connection, key_id, for_update=True)
            if before is None or (maker is not None and not sees_key(maker, before)):
                raise _no_such_key()
            state = key_state(self._binder, before, now)
            if state != "active":
                raise Conflict(
                    f"The key is {state}: it opens nothing, so there is nothing to take."
                )
            after = narrowed(before, wanted, expires_at, now)
            if not dry_run and after != before:
                after = await self._rewritten(connection, after)
                await self._record(connection, after, actor, "key.narrowed")
        return before, after

    async def keep(self, key_id: str, *, actor: str) -> ApiKey:
        """Make a key independent of the person who made it; raises ``NotFound`` or ``Conflict``."""
        now = self._clock.now()
        async with self._database.begin() as connection:
            key = await self._accounts.key(connection, key_id, for_update=True)
            if key is None:
                raise _no_such_key()
            state = key_state(self._binder, key, now)
            if key.made_by is None or state not in {"active", "maker_left"}:
                raise Conflict(f"The key is {state}; only the key of a person can be kept.")
            key = msgspec.structs.replace(key, made_by=None, maker_left=False)
            key = await self._rewritten(connection, key)
            await self._record(connection, key, actor, "key.kept")
        return key

    async def made_by(self, person_id: str) -> Sequence[ApiKey]:
        """Return the active keys that a person made."""
        now = self._clock.now()
        return [
            key
            for key in await self.list()
            if key.made_by == person_id
            and key_state(self._binder, key, now) in {"active", "maker_left"}
        ]

    async def confirm(self, key_ids: Collection[str] | None, *, actor: str) -> Sequence[ApiKey]:
        """Bind keys from before bindings existed; all of them if ``key_ids`` is ``None``.

        For a database that was restored by hand from before the upgrade: its keys open nothing
        until they are confirmed. Raises ``NotFound``, or ``Conflict`` for a key that has a binding.
        """
        async with self._database.begin() as connection:
            known = {key.id: key for key in await self._accounts.list_keys(connection)}
            if key_ids is None:
                key_ids = [key.id for key in known.values() if key.binding is None]
            if not known.keys() >= set(key_ids):
                raise _no_such_key()
            confirmed = [known[each] for each in dict.fromkeys(key_ids)]
            if any(key.binding is not None for key in confirmed):
                raise Conflict(
                    "A key that has a binding is not confirmed: revoke it if it changed."
                )
            await installation.drop_fact_within(connection, UNBOUND)
            for key in confirmed:
                await self._accounts.bind(connection, key.id, self._binder.binding(key))
                await self._record(connection, key, actor, "key.confirmed")
        return confirmed

    async def revoke(self, key_id: str, *, actor: str, maker: Caller | None = None) -> ApiKey:
        """Revoke a key for good; raises ``NotFound``. Revoking it again changes nothing.

        A ``maker`` revokes only keys that it may see.
        """
        now = self._clock.now()
        async with self._database.begin() as connection:
            key = await self._accounts.key(connection, key_id, for_update=True)
            if key is None or (maker is not None and not sees_key(maker, key)):
                raise _no_such_key()
            if key.revoked_at is None:
                revoked = msgspec.structs.replace(key, revoked_at=now)
                key = await self._rewritten(connection, revoked)
            await self._record(connection, key, actor, "key.revoked")
        return key

    async def _record(
        self, connection: AsyncConnection, key: ApiKey, actor: str, action: str
    ) -> None:
        entry = AuditEntry(key.account_id, actor, action, key.id, site=key.site, via=via_of(actor))
        await self._audit.record(connection, [entry], self._clock.now())

    async def _rewritten(self, connection: AsyncConnection, key: ApiKey) -> ApiKey:
        """Store a key's new permissions, with its binding."""
        bound = msgspec.structs.replace(key, binding=self._binder.binding(key))
        await self._accounts.rewrite(connection, bound)
        return bound


def _no_such_key() -> NotFound:
    return NotFound("No such key; gateway keys list shows the ids.")


def _unknown() -> NotAuthenticated:
    # A new instance each time: a reused exception would keep the frames of every raise.
    return NotAuthenticated(
        "This API key is not valid; check it, or create a new one (gateway keys create)."
    )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _has_ended(key: ApiKey, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now


# The parsed scopes of a few keys; a pure function, so the cache needs no invalidation.
_permissions_of = lru_cache(maxsize=1024)(permissions_of)
