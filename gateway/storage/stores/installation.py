"""Facts about the installation: which keyring its values are sealed with."""

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigurationError
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.database import Database
from gateway.storage.maintenance.locks import START_LOCK
from gateway.storage.schema import facts

_KEYRING = "keyring"
LAST_BACKUP = "backup made"
"""When the last backup was made, in ms since 1970."""
BACKUP_FAILED = "backup failed"
"""When the last backup failed, in ms since 1970; gone once one is made."""
KEY_COPIED = "master key copied"
"""When the master key was last copied, in ms since 1970."""


async def has_keyring(connection: AsyncConnection) -> bool:
    """Return whether this database holds values sealed earlier, so that no new key may be made.

    Until the transaction ends, other processes that start at the same time wait.
    """
    if connection.dialect.name == "postgresql":  # on SQLite, writers take turns anyway
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})
    return await _fingerprint(connection) is not None


async def claim_keyring(connection: AsyncConnection, keyring: Keyring) -> None:
    """Record the keyring that this database is sealed with; raises when it is another one."""
    known = await _fingerprint(connection)
    if known is None:
        await connection.execute(insert(facts).values(name=_KEYRING, value=keyring.fingerprint()))
    elif known != keyring.fingerprint():
        raise ConfigurationError(
            "The master key is not the one this database was sealed with: put the right "
            "master.key into [gateway] data_dir, or set [security] master_key to it."
        )


async def read_fact(connection: AsyncConnection, name: str) -> str | None:
    """Return the fact called ``name``, if it was ever noted."""
    found = await connection.execute(select(facts.c.value).where(facts.c.name == name))
    value: str | None = found.scalar()
    return value


async def note_fact(database: Database, name: str, value: str) -> None:
    """Store a fact in a transaction of its own, in place of an earlier one."""
    async with database.begin() as connection:
        await connection.execute(delete(facts).where(facts.c.name == name))
        await connection.execute(insert(facts).values(name=name, value=value))


async def drop_fact(database: Database, name: str) -> None:
    """Delete a fact, if there is one."""
    async with database.begin() as connection:
        await connection.execute(delete(facts).where(facts.c.name == name))


async def drop_fact_within(connection: AsyncConnection, name: str) -> None:
    """Remove a fact in the caller's transaction."""
    await connection.execute(delete(facts).where(facts.c.name == name))


async def _fingerprint(connection: AsyncConnection) -> str | None:
    found = await connection.execute(select(facts.c.value).where(facts.c.name == _KEYRING))
    value: str | None = found.scalar()
    return value
