"""Working the inbox off: from what a shop tells of an order to a package, whatever comes first.

Every step may be done twice: intake knows the order by its id, tracking the report by its
reference, amending finds nothing different. So a message is finished last, and a process that
is killed in the middle leaves it to the next.
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
from gateway_shopify.admin_api.client import ShopCalls
from gateway_shopify.errors import ShopUnreachable, Unreadable
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.mapping import Decision, decide, name_of_order
from gateway_shopify.orders import Facts, Known, OrderBook, State
from gateway_shopify.schema import (
    CHANGE_TOPICS,
    COMPLIANCE_TOPICS,
    RELEASED,
    UNINSTALLED,
    AboutOrder,
    Release,
    Released,
    ShopifyOrder,
)
from gateway_shopify.settings import ShopSettings

SOURCE: Final = "shopify"
_STATES: Final[Mapping[str, State]] = {"wait": "waiting", "hold": "held", "skip": "skipped"}
# After the package is made, only these call it off; what else would have been skipped goes on.
_CALLS_OFF: Final = frozenset({"cancelled", "voided", "refunded", "nothing_to_ship"})

_log = logging.getLogger(__name__)

Handler = Callable[[ShopSettings, Message], Awaitable[str]]
"""Sees to a message of a topic that is about no order; returns what became of it, in a word."""


class Processor:
    """Sees to messages, one at a time."""

    def __init__(
        self,
        gateway: Gateway,
        shops: Mapping[str, ShopSettings],
        inbox: Inbox,
        book: OrderBook,
        calls: ShopCalls,
        others: Mapping[str, Handler],
    ) -> None:
        self._gateway = gateway
        self._shops = shops
        self._inbox = inbox
        self._book = book
        self._calls = calls
        self._others = others

    async def work_off(self, message: Message) -> None:
        """See to a message; whatever goes wrong is written down with it."""
        shop = self._shops.get(message.shop)
        if shop is None:
            await self._inbox.give_up(message, "shop_not_configured")
            return
        try:
            outcome = await self._handle(shop, message)
        except ShopUnreachable as error:
            await self._inbox.postpone(message, error.word, error.retry_after_seconds)
        except (msgspec.MsgspecError, UnicodeDecodeError, Unreadable) as error:
            reason = _reason(error)
            _log.error(
                "a webhook can't be read: %s",
                reason,
                extra={"shop": shop.domain, "topic": message.topic},
            )
            await self._inbox.give_up(message, f"unreadable: {reason}")
        except Exception as error:  # noqa: BLE001 - one message's fault must not stop the others
            _log.error(
                "a webhook was not worked off: %s",
                type(error).__name__,
                extra={"shop": shop.domain, "topic": message.topic, "message_id": message.id},
            )
            await self._inbox.postpone(message, "failed")
        else:
            await self._inbox.finish(message, outcome)

    async def _handle(self, shop: ShopSettings, message: Message) -> str:
        topic = message.topic
        if topic in COMPLIANCE_TOPICS or topic == UNINSTALLED:
            return await self._others[topic](shop, message)
        if topic == RELEASED:
            return await self._release(shop, msgspec.json.decode(message.body, type=Released))
        if topic in CHANGE_TOPICS:
            return await self._fetch(shop, msgspec.json.decode(message.body, type=AboutOrder))
        sent = msgspec.json.decode(message.body, type=ShopifyOrder)
        return await self._apply(shop, sent, first_news=topic == "orders/create")

    async def _fetch(self, shop: ShopSettings, about: AboutOrder) -> str:
        if about.gid is None:
            return "no_order"
        if not shop.can_be_called:
            return "no_access"  # orders/updated brings the whole order along, a moment later
        sent = await self._calls.order(shop, about.gid)
        return "no_order" if sent is None else await self._apply(shop, sent)

    async def _release(self, shop: ShopSettings, released: Released) -> str:
        known = await self._book.find(shop.domain, released.admin_graphql_api_id)
        if known is None or known.facts.sent is None:
            return "no_order"
        return await self._apply(shop, known.facts.sent, release=released.release)

    async def _apply(
        self,
        shop: ShopSettings,
        sent: ShopifyOrder,
        *,
        first_news: bool = False,
        release: Release | None = None,
    ) -> str:
        known = await self._book.find(shop.domain, sent.gid)
        if known is not None and release is None:
            if _is_stale(known, sent, first_news=first_news):
                return "stale"
            release = known.facts.release
        decision = decide(sent, shop, release)
        if known is None or known.package_id is None:
            after = await self._begin(shop, sent, decision, known, release)
        else:
            after = await self._follow(shop, sent, decision, known)
        await self._book.save(after)
        return after.state if after.reason is None else f"{after.state}: {after.reason}"

    async def _begin(
        self,
        shop: ShopSettings,
        sent: ShopifyOrder,
        decision: Decision,
        known: Known | None,
        release: Release | None,
    ) -> Known:
        """Make a package of the order, or write down why not."""
        mode: Mode = "test" if sent.test else "live"
        facts = Facts(
            order_id=sent.gid,
            name=name_of_order(sent),
            paid=sent.is_paid,
            sent=sent,
            release=release,
        )
        standing = Known(
            id=known.id if known else self._book.fresh_id(),
            shop=shop.domain,
            index=self._book.index(shop.domain, sent.gid),
            mode=mode,
            state="waiting",
            updated_at_ms=to_epoch_ms(sent.updated_at),
            facts=facts,
        )
        if decision.outcome != "make" or decision.order is None:
            state = _STATES.get(decision.outcome, "held")
            return msgspec.structs.replace(standing, state=state, reason=decision.reason)
        candidate = Candidate(decision.order, warnings=decision.warnings)
        answer = await self._gateway.intake.accept(
            Submission(_caller(shop, mode), SOURCE, (candidate,))
        )
        result = answer.results[0]
        if result.package_id is None:
            problems = tuple(each.message for each in result.errors)
            facts = msgspec.structs.replace(facts, problems=problems)
            return msgspec.structs.replace(standing, state="held", reason="rejected", facts=facts)
        facts = msgspec.structs.replace(facts, sent=None)
        return msgspec.structs.replace(
            standing, state="made", package_id=result.package_id, facts=facts
        )

    async def _follow(
        self, shop: ShopSettings, sent: ShopifyOrder, decision: Decision, known: Known
    ) -> Known:
        """Let the package follow what became of its order, as far as it still can."""
        facts = msgspec.structs.replace(known.facts, name=name_of_order(sent), paid=sent.is_paid)
        after = msgspec.structs.replace(
            known, updated_at_ms=to_epoch_ms(sent.updated_at), facts=facts, reason=None
        )
        caller, package_id = _caller(shop, known.mode), known.package_id or ""
        if decision.reason in _CALLS_OFF:
            gone = decision.reason == "cancelled"
            reason = await self._call_off(caller, package_id, sent, even_on_its_way=gone)
            state: State = known.state if reason else "cancelled"
            return msgspec.structs.replace(after, state=state, reason=reason or decision.reason)
        if decision.order is None or known.state == "cancelled":
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

    async def _call_off(
        self, caller: Caller, package_id: str, sent: ShopifyOrder, *, even_on_its_way: bool
    ) -> str | None:
        """Cancel the package; what is on its way comes back only if the order was cancelled."""
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
            # Should we be killed before this is written down, the same again changes nothing.
            event_ref=f"shopify:cancelled:{sent.gid}",
        )
        try:
            await self._gateway.tracking.apply(caller, update)
        except GatewayError:  # it is over, or on its way back already
            return None if package.status == "cancelled" else "too_late"
        return None


def _reason(error: Exception) -> str:
    """Say why a body can't be read; no value of it is repeated."""
    if isinstance(error, Unreadable):
        return str(error)
    if not isinstance(error, msgspec.ValidationError):
        return "it is no JSON"
    problem = problem_of(error)
    return f"{problem.field}: {problem.message}" if problem.field else problem.message


def _is_stale(known: Known, sent: ShopifyOrder, *, first_news: bool) -> bool:
    """Say whether we know better already.

    Shopify counts in seconds: of two news of one second, that of the order's making is the
    older one, and a payment is never taken back.
    """
    sent_ms = to_epoch_ms(sent.updated_at)
    if sent_ms != known.updated_at_ms:
        return sent_ms < known.updated_at_ms
    return first_news or (known.facts.paid and not sent.is_paid)


def _caller(shop: ShopSettings, mode: Mode) -> Caller:
    return Caller(shop.account, mode, f"shopify:{shop.domain}", shop.site)
