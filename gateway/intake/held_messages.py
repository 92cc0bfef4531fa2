"""Decisions of a person on held and dead messages of plugins' inboxes, noted in the audit trail."""

from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.inbox_items import InboxItem, InboxItems
from gateway.storage.stores.plugin_state import StoringGateway


class HeldMessages:
    """Releases and discards messages. Errors are those of :class:`InboxItems`."""

    def __init__(self, gateway: StoringGateway, audit: AuditTrail) -> None:
        self._gateway = gateway
        self._items = InboxItems(gateway)
        self._audit = audit

    async def release(self, caller: Caller, item_id: str) -> InboxItem:
        """Have a message handled again, within two seconds; returns what it was."""
        async with self._gateway.database.begin() as connection:
            item = await self._items.release(connection, caller, item_id, b"")
            await self._note(connection, caller, "inbox.released", item_id)
        return item

    async def discard(self, caller: Caller, item_id: str) -> InboxItem:
        """Erase a message for good; returns what it was."""
        async with self._gateway.database.begin() as connection:
            item = await self._items.discard(connection, caller, item_id)
            await self._note(connection, caller, "inbox.discarded", item_id)
        return item

    async def _note(
        self,
        connection: AsyncConnection,
        caller: Caller,
        action: Literal["inbox.released", "inbox.discarded"],
        item_id: str,
    ) -> None:
        entry = AuditEntry.by(caller, "change", action, item_id)
        await self._audit.record(connection, [entry], self._gateway.clock.now())
