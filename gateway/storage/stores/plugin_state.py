"""A plugin's own small durable state: sealed values by account and key."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.errors import TooLarge
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.fields import CONTROL_CHARACTERS
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, insert_into
from gateway.storage.schema import plugin_state

Value = TypeVar("Value")

MAX_KEY_CHARACTERS: Final = 200
MAX_VALUE_BYTES: Final = 65_536
_KEYS_AT_ONCE: Final = 1000


class StoringGateway(Protocol):
    """The parts of a gateway that a plugin's state needs, once it is open."""

    @property
    def database(self) -> Database:
        """Return the open database."""
        ...

    @property
    def sealer(self) -> Sealer:
        """Return what seals values."""
        ...

    @property
    def clock(self) -> Clock:
        """Return the clock."""
        ...


class PluginState:
    """Small values that outlive the process: a cursor, the last sync, what a person chose.

    ``plugin`` is the plugin's name, ``gateway`` may be closed still. Values are whatever msgspec
    encodes as JSON, up to 64 KB, sealed, by account and key. A key is in clear text: an id or a
    word of up to 200 characters, never patient data. Each method takes a ``connection`` to be a
    part of your own transaction; without one it has its own.

    ::

        self.state = PluginState("acme", gateway)
        since = await self.state.get("synced_to", datetime)
        await self.state.put("synced_to", reached)
        count = await self.state.change("pages", int, lambda old: (old or 0) + 1)
    """

    def __init__(self, plugin: str, gateway: StoringGateway) -> None:
        self.plugin = plugin
        self._gateway = gateway

    async def get(
        self,
        key: str,
        type: type[Value],  # noqa: A002 - as msgspec's decoders call it
        *,
        account_id: str = DEFAULT_ACCOUNT,
        connection: AsyncConnection | None = None,
    ) -> Value | None:
        """Return the value of ``key`` as ``type``; ``None`` where there is none.

        Raises ``msgspec.ValidationError`` for a value of another shape.
        """
        query = select(plugin_state.c.payload).where(*self._row(key, account_id))
        if connection is None:
            async with self._gateway.database.read() as reader:
                sealed = (await reader.execute(query)).scalar()
        else:
            sealed = (await connection.execute(query)).scalar()
        return self._opened(sealed, key, account_id, type)

    async def put(
        self,
        key: str,
        value: object,
        *,
        account_id: str = DEFAULT_ACCOUNT,
        connection: AsyncConnection | None = None,
    ) -> None:
        """Store ``value`` under ``key``, in place of an earlier one.

        Raises ``TooLarge`` for a value above 64 KB, ``ValueError`` for a key that is none.
        """
        row = {
            "plugin": self.plugin,
            "account_id": account_id,
            "key": _checked(key),
            "payload": self._sealed(value, key, account_id),
            "updated_at_ms": self._now_ms(),
        }
        async with self._in(connection) as mine:
            new = insert_into(mine, plugin_state).values(row)
            await mine.execute(
                new.on_conflict_do_update(
                    index_elements=["plugin", "account_id", "key"],
                    set_={name: new.excluded[name] for name in ("payload", "updated_at_ms")},
                )
            )

    async def delete(
        self,
        key: str,
        *,
        account_id: str = DEFAULT_ACCOUNT,
        connection: AsyncConnection | None = None,
    ) -> None:
        """Delete the value of ``key``, if there is one."""
        async with self._in(connection) as mine:
            await mine.execute(delete(plugin_state).where(*self._row(key, account_id)))

    async def change(
        self,
        key: str,
        type: type[Value],  # noqa: A002 - as in get
        compute: Callable[[Value | None], Value | None],
        *,
        account_id: str = DEFAULT_ACCOUNT,
        connection: AsyncConnection | None = None,
    ) -> Value | None:
        """Replace a value by what ``compute`` makes of it; ``None`` deletes it. Returns the new.

        No other process changes it in between: the row is locked before it is read.
        """
        async with self._in(connection) as mine:
            row = {
                "plugin": self.plugin,
                "account_id": account_id,
                "key": _checked(key),
                "payload": None,
                "updated_at_ms": self._now_ms(),
            }
            # An empty row, so that there is one to lock.
            await mine.execute(insert_into(mine, plugin_state).values(row).on_conflict_do_nothing())
            query = select(plugin_state.c.payload).where(*self._row(key, account_id))
            sealed = (await mine.execute(query.with_for_update())).scalar()
            value = compute(self._opened(sealed, key, account_id, type))
            if value is None:
                await mine.execute(delete(plugin_state).where(*self._row(key, account_id)))
                return None
            await mine.execute(
                update(plugin_state)
                .where(*self._row(key, account_id))
                .values(
                    payload=self._sealed(value, key, account_id), updated_at_ms=row["updated_at_ms"]
                )
            )
            return value

    async def keys(
        self,
        prefix: str = "",
        *,
        account_id: str = DEFAULT_ACCOUNT,
        connection: AsyncConnection | None = None,
    ) -> Sequence[str]:
        """Return the keys that begin with ``prefix``, in order; the first 1,000."""
        column = plugin_state.c.key
        query = select(column).where(
            plugin_state.c.plugin == self.plugin,
            plugin_state.c.account_id == account_id,
            plugin_state.c.payload.is_not(None),
            column.startswith(prefix, autoescape=True),
        )
        query = query.order_by(column).limit(_KEYS_AT_ONCE)
        if connection is not None:
            return list((await connection.execute(query)).scalars())
        async with self._gateway.database.read() as reader:
            return list((await reader.execute(query)).scalars())

    def _row(self, key: str, account_id: str) -> tuple[Any, ...]:
        return (
            plugin_state.c.plugin == self.plugin,
            plugin_state.c.account_id == account_id,
            plugin_state.c.key == _checked(key),
        )

    def _now_ms(self) -> int:
        now: datetime = self._gateway.clock.now()
        return to_epoch_ms(now)

    def _sealed(self, value: object, key: str, account_id: str) -> bytes:
        plain = msgspec.json.encode(value)
        if len(plain) > MAX_VALUE_BYTES:
            raise TooLarge(
                f"The state of plugin {self.plugin} takes values of up to {MAX_VALUE_BYTES} bytes; "
                "put larger things into a table of your own."
            )
        row_id = plugin_row_id(self.plugin, account_id, key)
        return self._gateway.sealer.seal(plain, table=plugin_state.name, row_id=row_id)

    def _opened(
        self, sealed: bytes | None, key: str, account_id: str, wanted: type[Value]
    ) -> Value | None:
        if sealed is None:
            return None
        row_id = plugin_row_id(self.plugin, account_id, key)
        plain = self._gateway.sealer.unseal(bytes(sealed), table=plugin_state.name, row_id=row_id)
        return msgspec.json.decode(plain, type=wanted)

    @asynccontextmanager
    async def _in(self, connection: AsyncConnection | None) -> AsyncIterator[AsyncConnection]:
        if connection is not None:
            yield connection
            return
        async with self._gateway.database.begin() as own:
            yield own


def plugin_row_id(plugin: str, account_id: str, name: str) -> str:
    """Return the id that a plugin's value is sealed for; no part of it may hold a NUL."""
    return f"{plugin}\0{account_id}\0{name}"


def _checked(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or CONTROL_CHARACTERS.search(key):
        raise ValueError(f"a key has 1 to {MAX_KEY_CHARACTERS} characters, none of control")
    return key
