"""Accounts, their sites, and their API keys."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import ApiKey, Site
from gateway.storage.schema import accounts, api_keys, sites


class AccountStore:
    """Reads and writes accounts, sites and API keys."""

    async def ensure(self, connection: AsyncConnection, account_id: str, at: datetime) -> None:
        """Make the account if it isn't there, even when another process does so too."""
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(accounts).values(id=account_id, created_at_ms=to_epoch_ms(at))
        await connection.execute(new.on_conflict_do_nothing())

    async def exists(self, connection: AsyncConnection, account_id: str) -> bool:
        """Return whether the account exists."""
        query = select(accounts.c.id).where(accounts.c.id == account_id)
        return (await connection.execute(query)).first() is not None

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

    async def add_key(self, connection: AsyncConnection, key: ApiKey, digest: bytes) -> None:
        """Write a new key: its digest, never itself."""
        await connection.execute(
            insert(api_keys).values(
                id=key.id,
                account_id=key.account_id,
                name=key.name,
                mode=key.mode,
                site=key.site,
                prefix=key.prefix,
                digest=digest,
                created_at_ms=to_epoch_ms(key.created_at),
            )
        )

    async def keys_by_digest(
        self, connection: AsyncConnection, digests: Collection[bytes]
    ) -> dict[bytes, ApiKey]:
        """Return the keys, revoked ones too, whose SHA-256 is among ``digests``."""
        rows = await connection.execute(
            select(api_keys).where(api_keys.c.digest.in_(list(digests)))
        )
        return {bytes(row.digest): _key(row) for row in rows}

    async def list_keys(
        self, connection: AsyncConnection, account_id: str | None = None
    ) -> list[ApiKey]:
        """Return all keys, oldest first; of one account if it is named."""
        query = select(api_keys).order_by(api_keys.c.id)
        if account_id is not None:
            query = query.where(api_keys.c.account_id == account_id)
        return [_key(row) for row in await connection.execute(query)]

    async def revoke_key(
        self, connection: AsyncConnection, key_id: str, at: datetime
    ) -> ApiKey | None:
        """End a key; returns it, or ``None`` when there is none. A second time changes nothing."""
        await connection.execute(
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at_ms.is_(None))
            .values(revoked_at_ms=to_epoch_ms(at))
        )
        found = await connection.execute(select(api_keys).where(api_keys.c.id == key_id))
        row = found.first()
        return None if row is None else _key(row)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        mode=row.mode,
        prefix=row.prefix,
        site=row.site,
        created_at=from_epoch_ms(row.created_at_ms),
        revoked_at=None if row.revoked_at_ms is None else from_epoch_ms(row.revoked_at_ms),
    )
