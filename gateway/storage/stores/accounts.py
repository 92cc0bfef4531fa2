"""Accounts, their sites, and their API keys."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import ApiKey, Caller, Site
from gateway.storage.database import Database, insert_into
from gateway.storage.schema import MS, accounts, api_keys, sites
from gateway.storage.statements import KEY_BY_DIGEST, MEMBERS
from gateway.storage.stores.timelines import names_of
from gateway.storage.transaction import Row, fetch_each, row_type

_KEY_ROW: Final = row_type(api_keys)
_MOST_KEPT: Final = 1024


class AccountStore:
    """Reads and writes accounts, sites and API keys."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Any, ApiKey]] = {}

    async def ensure(self, connection: AsyncConnection, account_id: str, at: datetime) -> None:
        """Make the account if it isn't there, even when another process does so too."""
        new = insert_into(connection, accounts).values(id=account_id, created_at_ms=to_epoch_ms(at))
        await connection.execute(new.on_conflict_do_nothing())

    async def exists(self, connection: AsyncConnection, account_id: str) -> bool:
        """Return whether the account exists."""
        query = select(accounts.c.id).where(accounts.c.id == account_id)
        return (await connection.execute(query)).first() is not None

    async def ids(self, connection: AsyncConnection) -> list[str]:
        """Return the ids of all accounts, sorted."""
        rows = await connection.execute(select(accounts.c.id).order_by(accounts.c.id))
        return list(rows.scalars())

    async def replace_sites(self, connection: AsyncConnection, configured: Iterable[Site]) -> None:
        """Bring the sites table in line with gateway.toml; writes nothing when it is already."""
        wanted = {
            (each.account_id, each.code, each.name, each.timezone, each.country)
            for each in configured
        }
        columns = (
            sites.c.account_id,
            sites.c.code,
            sites.c.name,
            sites.c.timezone,
            sites.c.country,
        )
        if {tuple(row) for row in await connection.execute(select(*columns))} == wanted:
            return
        await connection.execute(delete(sites))
        if wanted:
            names = [column.name for column in columns]
            rows = [dict(zip(names, each, strict=True)) for each in sorted(wanted)]
            await connection.execute(insert(sites), rows)

    async def add_key(self, connection: AsyncConnection, key: ApiKey, binding: bytes) -> None:
        """Write a new key: its digest, never itself, and the MAC over its row."""
        await connection.execute(
            insert(api_keys).values(
                id=key.id,
                account_id=key.account_id,
                name=key.name,
                mode=key.mode,
                site=key.site,
                prefix=key.prefix,
                digest=key.digest,
                created_at_ms=to_epoch_ms(key.created_at),
                **_granted(key),
                made_by=key.made_by,
                party=key.party,
                binding=binding,
            )
        )

    async def keys_by_digest(
        self, connection: AsyncConnection, digests: Collection[bytes]
    ) -> dict[bytes, ApiKey]:
        """Return the keys, revoked ones too, whose SHA-256 is among ``digests``."""
        rows = await fetch_each(connection, KEY_BY_DIGEST, "digest", list(digests))
        found = await _with_makers(connection, [self._read(row) for row in rows])
        return {key.digest: key for key in found}

    def key_at_once(self, database: Database, digest: bytes) -> Mapping[bytes, ApiKey] | None:
        """Return the key of ``digest``, if there is one, read in the event loop's own thread.

        ``None`` where that can't be (:meth:`Database.read_now`).
        """
        rows = database.read_now(KEY_BY_DIGEST, digest=digest)
        if rows is None:
            return None
        if not rows:
            return {}
        key = self._read(rows[0])
        if key.made_by is not None:
            members = database.read_now(MEMBERS, person=key.made_by)
            if members is None:
                return None
            key = _judged(key, {(row[0], row[1]) for row in members})
        return {digest: key}

    def _read(self, row: Row) -> ApiKey:
        """Read a row that the database gave, once for as long as it stays the same."""
        values = _KEY_ROW(row)
        known = self._known.get(values.digest)
        if known is not None and known[0] == values:
            return known[1]
        key = _key(values)
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[key.digest] = (values, key)
        return key

    async def names(
        self, connection: AsyncConnection, caller: Caller, actors: Collection[str]
    ) -> Mapping[str, str]:
        """Return the names of the people and keys among ``actors``, of the caller's account."""
        return await names_of(connection, caller, actors) if actors else {}

    async def list_keys(
        self, connection: AsyncConnection, account_id: str | None = None
    ) -> list[ApiKey]:
        """Return all keys, oldest first; of one account if it is named."""
        query = select(api_keys).order_by(api_keys.c.id)
        if account_id is not None:
            query = query.where(api_keys.c.account_id == account_id)
        found = [_key(row) for row in await connection.execute(query)]
        return await _with_makers(connection, found)

    async def key(
        self, connection: AsyncConnection, key_id: str, *, for_update: bool = False
    ) -> ApiKey | None:
        """Return one key by its id; ``for_update`` locks its row until the transaction ends."""
        query = select(api_keys).where(api_keys.c.id == key_id)
        row = (await connection.execute(query.with_for_update() if for_update else query)).first()
        if row is None:
            return None
        [key] = await _with_makers(connection, [_key(row)])
        return key

    async def rewrite(self, connection: AsyncConnection, key: ApiKey) -> None:
        """Store a key's scopes, end, revocation and maker, with the MAC over its row."""
        changes = {**_granted(key), "made_by": key.made_by, "binding": key.binding}
        await connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(changes))

    async def bind(self, connection: AsyncConnection, key_id: str, binding: bytes) -> None:
        """Store the MAC over a key's row."""
        await connection.execute(
            update(api_keys).where(api_keys.c.id == key_id).values(binding=binding)
        )

    async def note_uses(
        self, connection: AsyncConnection, used_at_ms: Mapping[str, int], least_ms: int
    ) -> None:
        """Store when keys were used; one that was noted ``least_ms`` ago or less stays."""
        known = api_keys.c.last_used_at_ms
        at = bindparam("at_ms", type_=MS)
        await connection.execute(
            update(api_keys)
            .where(
                api_keys.c.id == bindparam("key_id"),
                or_(known.is_(None), known <= at - least_ms),
            )
            .values(last_used_at_ms=at),
            # In one sequence, so that two processes don't wait for each other.
            [{"key_id": each, "at_ms": used_at_ms[each]} for each in sorted(used_at_ms)],
        )


async def _with_makers(connection: AsyncConnection, keys: list[ApiKey]) -> list[ApiKey]:
    """Return the keys with what became of the people who made them."""
    makers = sorted({key.made_by for key in keys if key.made_by is not None})
    if not makers:
        return keys
    rows = await fetch_each(connection, MEMBERS, "person", makers)
    members = {(row[0], row[1]) for row in rows}
    return [_judged(key, members) for key in keys]


def _judged(key: ApiKey, members: Collection[tuple[str, str]]) -> ApiKey:
    if key.made_by is None or (key.account_id, key.made_by) in members:
        return key
    return msgspec.structs.replace(key, maker_left=True)


def _granted(key: ApiKey) -> dict[str, Any]:
    return {
        "scopes": key.scopes,
        "expires_at_ms": None if key.expires_at is None else to_epoch_ms(key.expires_at),
        "revoked_at_ms": None if key.revoked_at is None else to_epoch_ms(key.revoked_at),
    }


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        mode=row.mode,
        prefix=row.prefix,
        site=row.site,
        created_at=from_epoch_ms(row.created_at_ms),
        revoked_at=_moment(row.revoked_at_ms),
        scopes=row.scopes,
        digest=bytes(row.digest),
        expires_at=_moment(row.expires_at_ms),
        last_used_at=_moment(row.last_used_at_ms),
        binding=None if row.binding is None else bytes(row.binding),
        made_by=row.made_by,
        party=row.party,
    )


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else from_epoch_ms(at_ms)
