"""Bring the package of an order in line with the order: make, amend, cancel it, or flag the order.

A change that the gateway can't apply by itself, or shouldn't, is never applied in part: the
order is flagged with a reason (:data:`~gateway_shopify.orders.FLAGS`) for a person.
"""

from collections.abc import Mapping
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
    Package,
    Submission,
)
from gateway_shopify.mapping import Decision
from gateway_shopify.orders import OrderRecord, State
from gateway_shopify.schema import ShopifyOrder
from gateway_shopify.settings import ShopSettings

SOURCE: Final = "shopify"
_STATES: Final[Mapping[str, State]] = {"wait": "waiting", "hold": "held", "skip": "skipped"}
# These cancel an existing package; other reasons to skip an order don't.
CANCELLING: Final = frozenset({"cancelled", "voided", "refunded", "nothing_to_ship", "deleted"})
_IN_PHARMACY: Final = frozenset({"created", "ready", "assigned", "unassigned"})
_FINISHED: Final = frozenset({"completed", "failed", "returned", "cancelled"})
# Decisions about an order with a package that need a person.
_FLAG_OF: Final[Mapping[str | None, str]] = {
    "fulfilled": "fulfilled_elsewhere",
    "closed": "fulfilled_elsewhere",
    "local_pickup": "now_pickup",
    "pickup_unclear": "now_pickup",
    "fulfillment_on_hold": "on_hold",
}
# Read from attributes of items, which are no longer listed once a fulfillment contains them.
_OF_ITEMS: Final = (
    "rx_number",
    "prescriptions",
    "delivery_date",
    "notes",
    "external_patient_id",
)
# Compared after pick-up: a driver needs to know when one of these changes.
_AT_THE_DOOR: Final = (
    "patient_name",
    "patient_address",
    "copay_amount",
    "requires_signature",
    "delivery_date",
    "notes",
)


def caller_of(shop: ShopSettings, mode: Mode) -> Caller:
    """Return the caller that a shop's orders belong to."""
    sites = None if shop.site is None else frozenset({shop.site})
    return Caller(shop.account, mode, f"shopify:{shop.domain}", sites)


async def rehearsed(
    gateway: Gateway, shop: ShopSettings, mode: Mode, decision: Decision
) -> tuple[list[str], list[str]]:
    """Return intake's errors and warnings for an order. Stores nothing."""
    if decision.order is None:
        return [], []
    candidate = Candidate(decision.order, warnings=decision.warnings)
    submission = Submission(caller_of(shop, mode), SOURCE, (candidate,))
    answer = await gateway.intake.rehearse(submission)
    errors = [each.message for result in answer.results for each in result.errors]
    warnings = [each.message for each in (*answer.warnings, *decision.remarks)]
    return errors, warnings


class PackageSync:
    """Applies decisions about orders to packages; every step may be repeated."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(
        self, shop: ShopSettings, decision: Decision, record: OrderRecord
    ) -> OrderRecord:
        """Make a package of the order, or record the reason why not."""
        if decision.outcome != "make" or decision.order is None:
            state = _STATES.get(decision.outcome, "held")
            return msgspec.structs.replace(record, state=state, reason=decision.reason)
        candidate = Candidate(decision.order, warnings=decision.warnings)
        caller = caller_of(shop, record.mode)
        answer = await self._gateway.intake.accept(Submission(caller, SOURCE, (candidate,)))
        result = answer.results[0]
        if result.package_id is None:
            problems = tuple(each.message for each in result.errors)
            facts = msgspec.structs.replace(record.facts, problems=problems)
            return msgspec.structs.replace(record, state="held", reason="rejected", facts=facts)
        remarks = tuple(each.message for each in decision.remarks)
        warnings = tuple(each.message for each in answer.warnings)
        facts = msgspec.structs.replace(record.facts, sent=None, warnings=warnings + remarks)
        return msgspec.structs.replace(
            record,
            state="made",
            reason="warnings" if warnings else None,
            package_id=result.package_id,
            facts=facts,
        )

    async def follow(
        self,
        shop: ShopSettings,
        sent: ShopifyOrder,
        decision: Decision,
        record: OrderRecord,
    ) -> OrderRecord:
        """Apply a change of an order with a package; return the record with its state."""
        caller, package_id = caller_of(shop, record.mode), record.package_id or ""
        package = await self._package(caller, package_id)
        if package is None:
            return msgspec.structs.replace(record, reason="package_gone")
        if decision.reason in CANCELLING:
            return await self.cancel(caller, record, decision.reason or "")
        if record.state == "cancelled":
            reason = "reopened" if decision.outcome == "make" else record.reason
            return msgspec.structs.replace(record, reason=reason)
        if package.status in _FINISHED:
            return msgspec.structs.replace(record, reason=None)
        is_own = _has_own_fulfillment(sent, record)
        flag = None if decision.order is not None else "address_removed"
        if flag is None and not (is_own and decision.reason in {"fulfilled", "closed"}):
            flag = _FLAG_OF.get(decision.reason)
        if decision.order is not None and flag != "fulfilled_elsewhere":
            flag = await self._amend(caller, package, decision.order, is_own=is_own) or flag
        return _with_warnings(record, decision, flag)

    async def _amend(
        self, caller: Caller, package: Package, order: Order, *, is_own: bool
    ) -> str | None:
        """Amend the package; return a reason if a person has to."""
        if is_own:
            kept = {name: getattr(package.order, name) for name in _OF_ITEMS}
            order = msgspec.structs.replace(order, **kept)
        if package.status not in _IN_PHARMACY:
            is_changed = any(
                getattr(order, name) != getattr(package.order, name) for name in _AT_THE_DOOR
            )
            return "too_late" if is_changed else None
        try:
            await self._gateway.amendments.amend(caller, package.id, order)
        except Conflict:
            return "too_late"
        except InvalidInput:
            return "change_rejected"
        except NotFound:
            return "package_gone"
        return None

    async def cancel(self, caller: Caller, record: OrderRecord, why: str) -> OrderRecord:
        """Cancel the package; one on its way returns only if the order was cancelled.

        A finished package needs nothing: a refund after the delivery is no fault.
        """
        package = await self._package(caller, record.package_id or "")
        if package is None:
            return msgspec.structs.replace(record, reason="package_gone")
        if why != "cancelled" and package.status in _FINISHED - {"cancelled"}:
            return msgspec.structs.replace(record, reason=None)
        reason = await self._cancel(caller, record, package, even_on_its_way=why == "cancelled")
        state: State = record.state if reason else "cancelled"
        return msgspec.structs.replace(record, state=state, reason=reason or why)

    async def _package(self, caller: Caller, package_id: str) -> Package | None:
        async with self._gateway.database.read() as connection:
            return await self._gateway.packages.get(connection, caller, package_id)

    async def _cancel(
        self, caller: Caller, record: OrderRecord, package: Package, *, even_on_its_way: bool
    ) -> str | None:
        if package.status not in _IN_PHARMACY | {"cancelled"} and not even_on_its_way:
            return "too_late"
        update = DeliveryUpdate(
            package_id=package.id,
            event="package.cancelled",
            # Repeated after a crash, the same reference changes nothing.
            event_ref=f"shopify:cancelled:{record.facts.order_id}",
        )
        try:
            await self._gateway.tracking.apply(caller, update)
        except GatewayError:  # it is finished, or already returning
            return None if package.status == "cancelled" else "too_late"
        return None


def _has_own_fulfillment(sent: ShopifyOrder, record: OrderRecord) -> bool:
    """Return whether the gateway's own report of the delivery fulfilled the order.

    The sender's fulfillment carries the package's id as its tracking number, or was the shop's
    own and has been adopted.
    """
    if sent.fulfillments is None:
        return record.fulfillment_id is not None
    package_id = record.package_id or ""
    return any(
        each.is_in_force and each.is_of(package_id, record.fulfillment_id)
        for each in sent.fulfillments
    )


def _with_warnings(record: OrderRecord, decision: Decision, flag: str | None) -> OrderRecord:
    """Return the record with its reason; warnings that a person has seen don't flag it again."""
    warnings = tuple(each.message for each in (*decision.warnings, *decision.remarks))
    is_seen = warnings == record.facts.warnings and record.reason is None
    reason = flag or ("warnings" if decision.warnings and not is_seen else None)
    facts = msgspec.structs.replace(record.facts, warnings=warnings)
    return msgspec.structs.replace(record, reason=reason, facts=facts)
