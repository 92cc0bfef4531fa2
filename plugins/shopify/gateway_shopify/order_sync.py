"""Process a shop's messages about an order, in any order, into a package.

Every step is idempotent: intake recognises the order by its id, tracking the report by its
reference, and an amendment without a difference changes nothing. A message is finished last,
so the next process repeats it if this one is killed.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from gateway.plugin import (
    Caller,
    Candidate,
    Conflict,
    DeliveryUpdate,
    Gateway,
    GatewayError,
    InvalidInput,
    Mode,
    NotFound,
    Order,
    Submission,
    problem_of,
    to_epoch_ms,
)
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.errors import ShopUnreachable, Unreadable
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.mapping import Decision, decide, name_of_order
from gateway_shopify.orders import OrderFacts, OrderRecord, OrderStore, State
from gateway_shopify.schema import (
    CHANGE_TOPICS,
    COMPLIANCE_TOPICS,
    RELEASED,
    UNINSTALLED,
    OrderReference,
    Release,
    Released,
    ShopifyOrder,
)
from gateway_shopify.settings import ShopSettings

SOURCE: Final = "shopify"
_STATES: Final[Mapping[str, State]] = {"wait": "waiting", "hold": "held", "skip": "skipped"}
# These cancel an existing package; other reasons to skip an order don't.
_CANCELLING: Final = frozenset({"cancelled", "voided", "refunded", "nothing_to_ship"})

_log = logging.getLogger(__name__)

Handler = Callable[[ShopSettings, Message], Awaitable[str]]
"""Processes a message that is not about an order; returns its outcome."""


class OrderSync:
    """Processes messages, one per call."""

    def __init__(
        self,
        gateway: Gateway,
        shops: Mapping[str, ShopSettings],
        inbox: Inbox,
        orders: OrderStore,
        admin_api: AdminApi,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._gateway = gateway
        self._shops = shops
        self._inbox = inbox
        self._orders = orders
        self._admin_api = admin_api
        self._handlers = handlers

    async def process(self, message: Message) -> None:
        """Process a message; errors are recorded with it."""
        shop = self._shops.get(message.shop)
        if shop is None:
            await self._inbox.fail(message, "shop_not_configured")
            return
        try:
            outcome = await self._handle(shop, message)
        except ShopUnreachable as error:
            await self._inbox.retry_later(message, error.word, error.retry_after_seconds)
        except (msgspec.MsgspecError, UnicodeDecodeError, Unreadable) as error:
            reason = _reason(error)
            _log.error(
                "a webhook can't be read: %s",
                reason,
                extra={"shop": shop.domain, "topic": message.topic},
            )
            await self._inbox.fail(message, f"unreadable: {reason}")
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            _log.error(
                "a webhook was not processed: %s",
                type(error).__name__,
                extra={"shop": shop.domain, "topic": message.topic, "message_id": message.id},
            )
            await self._inbox.retry_later(message, "failed")
        else:
            await self._inbox.finish(message, outcome)

    async def _handle(self, shop: ShopSettings, message: Message) -> str:
        topic = message.topic
        if topic in COMPLIANCE_TOPICS or topic == UNINSTALLED:
            return await self._handlers[topic](shop, message)
        if topic == RELEASED:
            return await self._release(shop, msgspec.json.decode(message.body, type=Released))
        if topic in CHANGE_TOPICS:
            return await self._fetch(shop, msgspec.json.decode(message.body, type=OrderReference))
        sent = msgspec.json.decode(message.body, type=ShopifyOrder)
        return await self._apply(shop, sent, is_creation=topic == "orders/create")

    async def _fetch(self, shop: ShopSettings, reference: OrderReference) -> str:
        if reference.gid is None:
            return "no_order"
        if not shop.can_be_called:
            return "no_access"  # orders/updated follows with the whole order
        sent = await self._admin_api.order(shop, reference.gid)
        return "no_order" if sent is None else await self._apply(shop, sent)

    async def _release(self, shop: ShopSettings, released: Released) -> str:
        record = await self._orders.find(shop.domain, released.admin_graphql_api_id)
        if record is None or record.facts.sent is None:
            return "no_order"
        return await self._apply(shop, record.facts.sent, release=released.release)

    async def _apply(
        self,
        shop: ShopSettings,
        sent: ShopifyOrder,
        *,
        is_creation: bool = False,
        release: Release | None = None,
    ) -> str:
        record = await self._orders.find(shop.domain, sent.gid)
        if record is not None and release is None:
            if _is_stale(record, sent, is_creation=is_creation):
                return "stale"
            release = record.facts.release
        decision = decide(sent, shop, release)
        if record is None or record.package_id is None:
            after = await self._begin(shop, sent, decision, record, release)
        else:
            after = await self._follow(shop, sent, decision, record)
        await self._orders.save(after)
        return after.state if after.reason is None else f"{after.state}: {after.reason}"

    async def _begin(
        self,
        shop: ShopSettings,
        sent: ShopifyOrder,
        decision: Decision,
        earlier: OrderRecord | None,
        release: Release | None,
    ) -> OrderRecord:
        """Make a package of the order, or record the reason why not."""
        mode: Mode = "test" if sent.test else "live"
        facts = OrderFacts(
            order_id=sent.gid,
            name=name_of_order(sent),
            paid=sent.is_paid,
            sent=sent,
            release=release,
        )
        record = OrderRecord(
            id=earlier.id if earlier else self._orders.new_id(),
            shop=shop.domain,
            index=self._orders.index(shop.domain, sent.gid),
            mode=mode,
            state="waiting",
            updated_at_ms=to_epoch_ms(sent.updated_at),
            facts=facts,
        )
        if decision.outcome != "make" or decision.order is None:
            state = _STATES.get(decision.outcome, "held")
            return msgspec.structs.replace(record, state=state, reason=decision.reason)
        candidate = Candidate(decision.order, warnings=decision.warnings)
        answer = await self._gateway.intake.accept(
            Submission(_caller(shop, mode), SOURCE, (candidate,))
        )
        result = answer.results[0]
        if result.package_id is None:
            problems = tuple(each.message for each in result.errors)
            facts = msgspec.structs.replace(facts, problems=problems)
            return msgspec.structs.replace(record, state="held", reason="rejected", facts=facts)
        facts = msgspec.structs.replace(facts, sent=None)
        return msgspec.structs.replace(
            record, state="made", package_id=result.package_id, facts=facts
        )

    async def _follow(
        self, shop: ShopSettings, sent: ShopifyOrder, decision: Decision, record: OrderRecord
    ) -> OrderRecord:
        """Apply a change of the order to its package, as far as that is still possible."""
        facts = msgspec.structs.replace(record.facts, name=name_of_order(sent), paid=sent.is_paid)
        after = msgspec.structs.replace(
            record, updated_at_ms=to_epoch_ms(sent.updated_at), facts=facts, reason=None
        )
        caller, package_id = _caller(shop, record.mode), record.package_id or ""
        if decision.reason in _CANCELLING:
            gone = decision.reason == "cancelled"
            reason = await self._cancel(caller, package_id, sent, even_on_its_way=gone)
            state: State = record.state if reason else "cancelled"
            return msgspec.structs.replace(after, state=state, reason=reason or decision.reason)
        if decision.order is None or record.state == "cancelled":
            return after
        reason = await self._amend(caller, package_id, decision.order)
        return msgspec.structs.replace(after, reason=reason)

    async def _amend(self, caller: Caller, package_id: str, order: Order) -> str | None:
        try:
            await self._gateway.amendments.amend(caller, package_id, order)
        except Conflict:
            return "too_late"
        except InvalidInput:
            return "change_rejected"
        except NotFound:
            return "package_gone"
        return None

    async def _cancel(
        self, caller: Caller, package_id: str, sent: ShopifyOrder, *, even_on_its_way: bool
    ) -> str | None:
        """Cancel the package; one on its way returns only if the order was cancelled."""
        async with self._gateway.database.read() as connection:
            package = await self._gateway.packages.get(connection, caller, package_id)
        in_the_pharmacy = {"created", "ready", "assigned", "unassigned", "cancelled"}
        if package is None:
            return "package_gone"
        if package.status not in in_the_pharmacy and not even_on_its_way:
            return "too_late"
        update = DeliveryUpdate(
            package_id=package_id,
            event="package.cancelled",
            # Repeated after a crash, the same reference changes nothing.
            event_ref=f"shopify:cancelled:{sent.gid}",
        )
        try:
            await self._gateway.tracking.apply(caller, update)
        except GatewayError:  # it is finished, or already returning
            return None if package.status == "cancelled" else "too_late"
        return None


def _reason(error: Exception) -> str:
    """Return why a body can't be read, without any of its values."""
    if isinstance(error, Unreadable):
        return str(error)
    if not isinstance(error, msgspec.ValidationError):
        return "it is not JSON"
    problem = problem_of(error)
    return f"{problem.field}: {problem.message}" if problem.field else problem.message


def _is_stale(record: OrderRecord, sent: ShopifyOrder, *, is_creation: bool) -> bool:
    """Return whether the stored state is more recent.

    Shopify's times are whole seconds: of two messages of one second, the order's creation is
    the older one, and a payment is never undone.
    """
    sent_ms = to_epoch_ms(sent.updated_at)
    if sent_ms != record.updated_at_ms:
        return sent_ms < record.updated_at_ms
    return is_creation or (record.facts.paid and not sent.is_paid)


def _caller(shop: ShopSettings, mode: Mode) -> Caller:
    return Caller(shop.account, mode, f"shopify:{shop.domain}", shop.site)
