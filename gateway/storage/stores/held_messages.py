"""Decisions of a person on held and dead messages of plugins' inboxes, noted in the audit trail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.storage.stores.inbox_items import InboxItem, InboxItems
from gateway.storage.stores.plugin_state import StoringGateway


class _Auditor(Protocol):
    async def record(
        self, connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime
    ) -> None: ...


class AuditingGateway(StoringGateway, Protocol):
    """The parts of a gateway that an inbox needs, once it is open."""

    @property
    def audit(self) -> _Auditor:
        """Return the audit trail."""
        ...


class HeldMessages:
    """Releases and discards messages of ``items``, which are one plugin's or all.

    Both raise ``NotFound``, and ``Conflict`` for a message that is neither held nor dead.
    """

    def __init__(self, gateway: AuditingGateway, items: InboxItems) -> None:
        self._gateway = gateway
        self._items = items

    async def release(self, caller: Caller, item_id: str, note: bytes = b"") -> InboxItem:
        """Have a message handled again, within two seconds; returns what it was.

        ``note`` is handed to the plugin.
        """
        async with self._gateway.database.begin() as connection:
            item = await self._items.release(connection, caller, item_id, note)
            await self._note(connection, caller, "inbox.released", item_id)
        return item

    async def discard(self, caller: Caller, item_id: str) -> InboxItem:
        """Erase a message for good; returns what it was."""
        async with self._gateway.database.begin() as connection:
            item = await self._items.discard(connection, caller, item_id)
            await self._note(connection, caller, "inbox.discarded", item_id)
        return item

    async def _note(
        self, connection: AsyncConnection, caller: Caller, action: str, item_id: str
    ) -> None:
        entry = AuditEntry.by(caller, "change", action, item_id)
        await self._gateway.audit.record(connection, [entry], self._gateway.clock.now())
