"""Process a shop's messages about its orders, in any order of arrival.

Every step is idempotent: intake recognises the order by its id, tracking the report by its
reference, and an amendment without a difference changes nothing. A message is settled last,
so the next process repeats it if this one is killed.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from gateway.plugin import Gateway, Settled, Settlement, problem_of, to_epoch_ms
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.errors import ShopUnreachable, Unreadable
from gateway_shopify.inbox import SUPERSEDED, Arrival, HeldOrder, Inbox, Message
from gateway_shopify.mapping import decide, digest_of, name_of_order
from gateway_shopify.orders import DISMISSED, OrderFacts, OrderRecord, OrderStore, read_sent
from gateway_shopify.package_sync import CANCELLING, PackageSync, caller_of
from gateway_shopify.schema import (
    CHANGE_TOPICS,
    COMPLIANCE_TOPICS,
    DELETED,
    HELD,
    HOLD_TOPICS,
    RECONCILED,
    RELEASED,
    UNINSTALLED,
    DeletedOrder,
    FulfillmentOrderReference,
    OrderReference,
    Release,
    Released,
    ShopifyOrder,
)
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

_log = logging.getLogger(__name__)

Outcome = str | Settled
"""A message's outcome, or that it is settled already."""

Handler = Callable[[ShopSettings, Message], Awaitable[str]]
"""Processes a message that is not about an order; returns its outcome."""


class OrderSync:
    """Processes messages, one per call."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        orders: OrderStore,
        admin_api: AdminApi,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._inbox = inbox
        self._orders = orders
        self._admin_api = admin_api
        self._handlers = handlers
        self._packages = PackageSync(gateway)

    async def process(self, message: Message) -> Settlement | Settled:
        """Process a message; return how it is settled, with the error if there was one."""
        item = message.item
        shop = self._directory.configured.get(message.shop)
        if shop is None:
            return item.bury("shop_not_configured")
        try:
            ended = await self._handle(shop, message)
            return ended if isinstance(ended, Settled) else item.done(ended)
        except ShopUnreachable as error:
            return item.retry(error.word, error.retry_after_seconds)
        except (msgspec.MsgspecError, UnicodeDecodeError, Unreadable) as error:
            reason = _reason(error)
            _log.error(
                "a webhook can't be read: %s",
                reason,
                extra={"shop": shop.domain, "topic": message.topic},
            )
            return item.bury(f"unreadable: {reason}")

    async def _handle(  # noqa: PLR0911 - one for each kind of topic
        self, shop: ShopSettings, message: Message
    ) -> Outcome:
        topic = message.topic
        if topic in COMPLIANCE_TOPICS or topic == UNINSTALLED:
            return await self._handlers[topic](shop, message)
        if topic == RELEASED:
            released = msgspec.json.decode(message.body, type=Released)
            return await self._release(message, shop, released)
        if topic == HELD:
            return await self._release_held(message, shop)
        if topic == DELETED:
            # The signature doesn't cover the topic: the body of an order must not be accepted here.
            deleted = msgspec.json.decode(message.body, type=DeletedOrder)
            return await self._delete(message, shop, deleted)
        if topic in HOLD_TOPICS:
            return await self._look_up(shop, message)
        if topic in CHANGE_TOPICS:
            reference = msgspec.json.decode(message.body, type=OrderReference)
            return await self._fetch(message, shop, reference)
        sent = msgspec.json.decode(message.body, type=ShopifyOrder)
        return await self._apply(
            message,
            shop,
            sent,
            is_creation=topic == "orders/create",
            is_current=topic == RECONCILED,
            triggered_at_ms=message.triggered_at_ms,
        )

    async def _fetch(
        self, message: Message, shop: ShopSettings, reference: OrderReference
    ) -> Outcome:
        if reference.gid is None:
            return "no_order"
        if not shop.can_be_called:
            return "no_access"  # orders/updated follows with the whole order
        sent = await self._admin_api.order(shop, reference.gid)
        if sent is None:
            return "no_order"
        return await self._apply(message, shop, sent, is_current=True)

    async def _look_up(self, shop: ShopSettings, message: Message) -> str:
        """Find the order of a fulfillment order, and leave it to a message about that order."""
        reference = msgspec.json.decode(message.body, type=FulfillmentOrderReference)
        if not shop.can_be_called:
            return "no_access"
        sent = await self._admin_api.order_of(shop, reference.fulfillment_order.id)
        if sent is None:
            return "no_order"
        body = msgspec.json.encode(sent)
        index = self._orders.index(shop.domain, sent.gid)
        await self._inbox.put(Arrival(shop.domain, f"of:{message.id}", RECONCILED, body, index))
        return "looked_up"

    async def _delete(self, message: Message, shop: ShopSettings, deleted: DeletedOrder) -> Outcome:
        if shop.can_be_called:  # a signed body with only an id may come from another source
            sent = await self._admin_api.order(shop, deleted.gid)
            if sent is not None:
                return await self._apply(message, shop, sent, is_current=True)
        before = record = await self._orders.find(shop.domain, deleted.gid)
        if record is None:
            record = OrderRecord(
                id=self._orders.new_id(),
                shop=shop.domain,
                index=self._orders.index(shop.domain, deleted.gid),
                mode="live",
                state="skipped",
                updated_at_ms=0,
                facts=OrderFacts(order_id=deleted.gid),
            )
        facts = msgspec.structs.replace(record.facts, deleted=True, sent=None)
        after = msgspec.structs.replace(record, facts=facts)
        if record.package_id is None:
            after = msgspec.structs.replace(after, state="skipped", reason="deleted")
        elif record.state != "cancelled":
            after = await self._packages.cancel(caller_of(shop, record.mode), after, "deleted")
        return await self._save(message, after, before)

    async def _release(self, message: Message, shop: ShopSettings, released: Released) -> Outcome:
        record = await self._orders.find(shop.domain, released.admin_graphql_api_id)
        sent = None if record is None else await self._orders.sent_of(record)
        if sent is None:
            return "no_order"
        return await self._apply(message, shop, sent, release=released.release)

    async def _release_held(self, message: Message, shop: ShopSettings) -> Outcome:
        sent = read_sent(message.body)
        record = await self._orders.find(shop.domain, sent.gid)
        if record is None or record.state != "held":
            return SUPERSEDED
        note = message.item.note  # without details, it was released by gateway inbox
        release = msgspec.json.decode(note, type=Release) if note else Release()
        return await self._apply(message, shop, sent, release=release)

    async def _apply(
        self,
        message: Message,
        shop: ShopSettings,
        sent: ShopifyOrder,
        *,
        is_creation: bool = False,
        is_current: bool = False,
        triggered_at_ms: int | None = None,
        release: Release | None = None,
    ) -> Outcome:
        record = await self._orders.find(shop.domain, sent.gid)
        if record is not None and release is None:
            if is_stale(
                record,
                sent,
                is_creation=is_creation,
                is_current=is_current,
                triggered_at_ms=triggered_at_ms,
            ):
                return "stale"
            release = record.facts.release
        decision = decide(sent, shop, release, self._directory.country(shop))
        earlier = record.facts if record else OrderFacts(order_id=sent.gid)
        facts = msgspec.structs.replace(
            earlier,
            order_id=sent.gid,
            name=name_of_order(sent),
            paid=sent.is_paid,
            cancelled=sent.cancelled_at is not None,
            done=sent.is_fulfilled or decision.reason in CANCELLING,
            triggered_at_ms=triggered_at_ms,
            digest=digest_of(decision),
            problems=(),
            release=release,
        )
        if record is not None and record.package_id is not None:
            after = msgspec.structs.replace(
                record, updated_at_ms=to_epoch_ms(sent.updated_at), facts=facts
            )
            followed = await self._packages.follow(shop, sent, decision, after)
            return await self._save(message, followed, record)
        if record is not None and release is None and is_still_dismissed(record, facts):
            facts = msgspec.structs.replace(facts, sent=sent)
            updated_ms = to_epoch_ms(sent.updated_at)
            after = msgspec.structs.replace(record, updated_at_ms=updated_ms, facts=facts)
            return await self._save(message, after, record)
        after = OrderRecord(
            id=record.id if record else self._orders.new_id(),
            shop=shop.domain,
            index=self._orders.index(shop.domain, sent.gid),
            mode="test" if sent.test else "live",
            state="waiting",
            updated_at_ms=to_epoch_ms(sent.updated_at),
            facts=msgspec.structs.replace(facts, sent=sent),
        )
        return await self._save(message, await self._packages.create(shop, decision, after), record)

    async def _save(
        self, message: Message, record: OrderRecord, before: OrderRecord | None
    ) -> Outcome:
        """Store a record; the held state of an order is in the inbox and ends there."""
        if record.state == "held" and record.facts.sent is not None:
            return await self._hold(message, record, record.facts.sent)
        if before is not None and before.state == "held":
            async with self._gateway.database.begin() as connection:
                await self._inbox.end_held(connection, record.shop, record.index, SUPERSEDED)
                await self._orders.write(connection, [record])
        else:
            await self._orders.save(record)
        if record.is_flagged:
            _log.warning(
                "an order of a shop needs a person: %s; see gateway shopify held",
                record.reason,
                extra={"shop": record.shop, "order": record.id},
            )
        return record.state if record.reason is None else f"{record.state}: {record.reason}"

    async def _hold(self, message: Message, record: OrderRecord, sent: ShopifyOrder) -> Settled:
        """Hold the order in the inbox, and store its record, in one transaction."""
        held = HeldOrder(
            record.index, record.mode, record.reason or "held", msgspec.json.encode(sent)
        )
        bare = msgspec.structs.replace(
            record, facts=msgspec.structs.replace(record.facts, sent=None)
        )
        async with self._gateway.database.begin() as connection:
            settled = await self._inbox.hold(connection, message, held)
            await self._orders.write(connection, [bare])
        return settled


def is_still_dismissed(record: OrderRecord, facts: OrderFacts) -> bool:
    """Return whether a person dismissed the order, and its read data are unchanged."""
    return record.reason == DISMISSED and record.facts.digest == facts.digest


def is_stale(
    record: OrderRecord,
    sent: ShopifyOrder,
    *,
    is_creation: bool = False,
    is_current: bool = False,
    triggered_at_ms: int | None = None,
) -> bool:
    """Return whether the stored state is more recent than ``sent``.

    Nothing undoes a cancellation or deletion. Shopify's ``updated_at`` has whole seconds: of
    two messages of one second, the order's creation is the older one; a payment, refund or
    fulfillment isn't undone; the order read from the API (``is_current``) is the newer one;
    else the header ``X-Shopify-Triggered-At`` decides, which has milliseconds.
    """
    facts = record.facts
    if facts.deleted or (facts.cancelled and sent.cancelled_at is None):
        return True
    sent_ms = to_epoch_ms(sent.updated_at)
    if sent_ms != record.updated_at_ms:
        return sent_ms < record.updated_at_ms
    is_refunded = sent.financial_status in {"refunded", "partially_refunded", "voided"}
    if is_creation or (facts.paid and not sent.is_paid and not is_refunded):
        return True
    if facts.done and not (sent.is_fulfilled or is_refunded or sent.cancelled_at is not None):
        return True
    if is_current or triggered_at_ms is None or facts.triggered_at_ms is None:
        return False
    return triggered_at_ms < facts.triggered_at_ms


def _reason(error: Exception) -> str:
    """Return why a body can't be read, without any of its values."""
    if isinstance(error, Unreadable):
        return str(error)
    if not isinstance(error, msgspec.ValidationError):
        return "it is not JSON"
    problem = problem_of(error)
    return f"{problem.field}: {problem.message}" if problem.field else problem.message
