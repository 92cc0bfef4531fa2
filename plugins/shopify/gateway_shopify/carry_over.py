"""Moves rows from tables of earlier plugin versions to the gateway's.

Their values are sealed for their row, so no migration can move them. They are opened and sealed
again, a few in a transaction, when the gateway opens and once a minute, because during an upgrade
processes of the earlier version still write the old tables. Each step may be repeated.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, or_, select, update

from gateway.plugin import Gateway, PluginState, from_epoch_ms, to_epoch_ms
from gateway_shopify.admin_api.tokens import Tokens
from gateway_shopify.inbox import PLUGIN, Arrival, HeldOrder, Inbox
from gateway_shopify.orders import OrderRecord, OrderStore
from gateway_shopify.shops import ShopDirectory
from gateway_shopify.tables import messages, shops

_ROWS_AT_ONCE: Final = 200
_HELD_MOVED: Final = "held_orders_moved"


class CarryOver:
    """Moves the messages, held orders and tokens of earlier versions."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        orders: OrderStore,
        tokens: Tokens,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._inbox = inbox
        self._orders = orders
        self._tokens = tokens
        self._state = PluginState(PLUGIN, gateway)

    async def run(self) -> None:
        """Move everything that is left."""
        while await self._move_messages():
            pass
        await self._move_tokens()
        if not await self._state.get(_HELD_MOVED, bool):
            await self._move_held()
            await self._state.put(_HELD_MOVED, value=True)

    async def _move_messages(self) -> bool:
        """Move some messages; return whether there may be more."""
        database = self._gateway.database
        query = select(messages).order_by(messages.c.id).limit(_ROWS_AT_ONCE)
        if database.dialect == "postgresql":  # an earlier version may be processing one
            now_ms = to_epoch_ms(self._gateway.clock.now())
            is_free = or_(messages.c.state != "waiting", messages.c.lease_until_ms <= now_ms)
            query = query.where(is_free)
        async with database.read() as connection:
            if (await connection.execute(query.limit(1))).first() is None:
                return False
        async with database.begin() as connection:
            locked = query.with_for_update(skip_locked=True)
            rows = (await connection.execute(locked)).all()
            for row in rows:
                await self._inbox.adopt(
                    connection, self._arrival(row), row.state, row.outcome, row.received_at_ms
                )
            gone = messages.c.id.in_([row.id for row in rows])
            await connection.execute(delete(messages).where(gone))
        # No wake-up: at a start, leases that are older than it are ended first.
        return len(rows) == _ROWS_AT_ONCE

    async def _move_held(self) -> None:
        """Move the content of held orders, which was in their records, into the inbox."""
        after_id, is_end = "", False
        while not is_end:
            async with self._gateway.database.begin() as connection:
                page = await self._orders.held_page(connection, after_id, _ROWS_AT_ONCE)
                whole = [each for each in page if each.facts.sent is not None]
                for record in whole:
                    body = msgspec.json.encode(record.facts.sent)
                    held = HeldOrder(record.index, record.mode, record.reason or "held", body)
                    await self._inbox.adopt_held(connection, record.shop, f"held:{record.id}", held)
                if whole:
                    await self._orders.write(connection, [_without_content(each) for each in whole])
            is_end = len(page) < _ROWS_AT_ONCE
            after_id = page[-1].id if page else ""

    def _arrival(self, row: Row[Any]) -> Arrival:
        body = b""
        if row.body is not None:
            sealed = bytes(row.body)
            body = self._gateway.sealer.unseal(sealed, table=messages.name, row_id=row.id)
        return Arrival(
            shop=row.shop,
            webhook_id=row.webhook_id,
            topic=row.topic,
            body=body,
            order_index=None if row.order_index is None else bytes(row.order_index),
            triggered_at_ms=row.triggered_at_ms,
        )

    async def _move_tokens(self) -> None:
        query = select(shops.c.shop, shops.c.token, shops.c.token_expires_at_ms)
        async with self._gateway.database.read() as connection:
            rows = (await connection.execute(query.where(shops.c.token.is_not(None)))).all()
        for row in rows:
            shop = self._directory.configured.get(row.shop)
            if shop is not None:
                sealed, table = bytes(row.token), shops.name
                token = self._gateway.sealer.unseal(sealed, table=table, row_id=row.shop).decode()
                await self._tokens.keep(shop, token, from_epoch_ms(row.token_expires_at_ms))
                async with self._gateway.database.begin() as connection:
                    await connection.execute(
                        update(shops)
                        .where(shops.c.shop == row.shop, shops.c.token == row.token)
                        .values(token=None, token_expires_at_ms=None)
                    )


def _without_content(record: OrderRecord) -> OrderRecord:
    facts = msgspec.structs.replace(record.facts, sent=None)
    return msgspec.structs.replace(record, facts=facts)
