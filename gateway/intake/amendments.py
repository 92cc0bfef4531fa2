"""Change a package's order while it is still in the pharmacy; erase finished packages on request.

A source whose orders can be edited submits the whole order again; the differences are stored, and
subscribers get the names of the changed fields. A prescription of a bag can be cancelled alone: the
others stay, with their copays. When a patient, or a shop on their behalf, asks for erasure,
finished packages are erased as retention erases them, only earlier.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.delivery.publisher import Publisher
from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.hooks import Hooks
from gateway.intake.sites import SiteDirectory
from gateway.intake.updates import references
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.bag import BagChange, Prescription, bag_of, references_of, without
from gateway.model.change import Change
from gateway.model.event import EventDraft, Published
from gateway.model.ids import new_id
from gateway.model.order import Order, check, routing_of
from gateway.model.package import AMENDABLE
from gateway.model.submission import AmendmentResult, ErasureResult
from gateway.storage.database import Database
from gateway.storage.maintenance.clear_filler import ClearFiller
from gateway.storage.retention.erasure import erase_finished
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.changes import note_changes
from gateway.storage.stores.clear_columns import Mark, set_marks, with_need
from gateway.storage.stores.packages import PackageState, PackageStore

CORRECTABLE: Final = frozenset(
    {
        "patient_name",
        "patient_address",
        "patient_phone",
        "patient_email",
        "notes",
        "delivery_date",
        "priority",
        "requires_signature",
        "copay_amount",
    }
)
"""Fields of an order that are corrected one by one, while the package is in the pharmacy."""
_IN_EVENT: Final = ("priority", "requires_signature", "copay_amount", "delivery_date")


class Amendments:
    """Amends and erases packages. One per process."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts it reads, writes and asks
        self,
        database: Database,
        packages: PackageStore,
        publishing: Publisher,
        hooks: Hooks,
        sites: SiteDirectory,
        filler: ClearFiller,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._packages = packages
        self._publisher = publishing
        self._hooks = hooks
        self._sites = sites
        self._filler = filler
        self._audit = audit
        self._clock = clock

    async def amend(self, caller: Caller, package_id: str, order: Order) -> AmendmentResult:
        """Replace a package's order; its site and ``external_order_id`` stay.

        Returns after the commit; the same order again changes nothing and sends no event.
        Raises ``InvalidInput`` for an order that would be refused, ``NotFound``, and
        ``Conflict`` once the package was picked up or cancelled.
        """
        return await self._amend(caller, package_id, lambda _: order)

    async def correct(
        self, caller: Caller, package_id: str, changes: Mapping[str, Any]
    ) -> AmendmentResult:
        """Replace fields of a package's order: those of ``CORRECTABLE``; the others stay.

        Otherwise like :meth:`amend`. The copay of a bag whose prescriptions have copays can't be
        replaced: cancel a prescription instead.
        """
        unknown = sorted(changes.keys() - CORRECTABLE)
        if unknown:
            problems = [Problem("this can't be changed", field=each) for each in unknown]
            raise InvalidInput("The changed order can't be accepted.", problems)
        return await self._amend(
            caller, package_id, lambda order: msgspec.structs.replace(order, **changes)
        )

    async def _amend(
        self, caller: Caller, package_id: str, change: Callable[[Order], Order]
    ) -> AmendmentResult:
        async with self._database.begin() as connection:
            package = await self._locked(connection, caller, package_id)
            _refuse_once_picked_up(package)
            kept = self._reviewed(package, change(package.order))
            changed = _differences(package.order, kept)
            if not changed:
                return AmendmentResult(package_id)
            await self._packages.replace_order(connection, package, kept)
            now = self._clock.now()
            draft = _updated_event(package._replace(order=kept), caller, changed, now)
            published = await self._publisher.record(connection, [draft], now)
        self._publisher.announce(published)
        return AmendmentResult(package_id, changed, draft.id)

    async def change_bag(
        self, caller: Caller, package_id: str, change: BagChange
    ) -> AmendmentResult:
        """Cancel prescriptions of a package's bag, and mark whether it needs a person.

        The others stay, with their copays. Returns after the commit. Raises ``InvalidInput`` for
        prescriptions that aren't in the bag, ``NotFound``, and ``Conflict`` when none would be left
        or the package was picked up; whether it needs a person may change at any time.
        """
        published: Published | None = None
        async with self._database.begin() as connection:
            package = await self._locked(connection, caller, package_id)
            now = self._clock.now()
            actions: list[str] = []
            result = AmendmentResult(package_id)
            if change.cancelled:
                _refuse_once_picked_up(package)
                draft = await self._cancel(connection, caller, package, change, now)
                published = await self._publisher.record(connection, [draft], now)
                result = AmendmentResult(package_id, tuple(draft.data["changed"]), draft.id)
                actions += ["prescription.cancelled"] * len(change.cancelled)
            if change.needs_person is not None:
                flags = with_need(package.flags or 0, needed=change.needs_person)
                mark = Mark(package.account_id, package.id, package.driver_id, flags)
                await set_marks(connection, [mark])
                actions.append(f"package.{'needs_person' if change.needs_person else 'seen_to'}")
            patient = self._packages.patient_keys(package)
            entries = [
                AuditEntry.by(caller, "change", action, package.id, patient=patient)
                for action in actions
            ]
            await self._audit.record(connection, entries, now)
            await note_changes(connection, [_changed(package)], now)
        if published is not None:
            self._publisher.announce(published)
        return result

    async def _cancel(
        self,
        connection: AsyncConnection,
        caller: Caller,
        package: PackageState,
        change: BagChange,
        now: datetime,
    ) -> EventDraft:
        """Remove the prescriptions, and return the event about it."""
        order = package.order
        whole = bag_of(order.prescriptions, order.rx_number, order.copay_amount)
        left, gone = without(whole, change.cancelled, change.copay_amount)
        kept = self._reviewed(package, msgspec.structs.replace(order, **left._asdict()))
        changed = _differences(order, kept)
        await self._packages.replace_order(connection, package, kept)
        return _updated_event(package._replace(order=kept), caller, changed, now, gone)

    async def _locked(
        self, connection: AsyncConnection, caller: Caller, package_id: str
    ) -> PackageState:
        """Return the caller's package, locked until the transaction ends."""
        key = (caller.account_id, package_id)
        found = await self._packages.states_of(connection, {key}, for_update=True)
        package = (await self._filler.filled(connection, found)).get(package_id)
        if package is None or package.mode != caller.mode or not caller.sees_site(package.site):
            raise NotFound("There is no such package.")
        return package

    async def erase(self, caller: Caller, package_ids: Collection[str]) -> ErasureResult:
        """Erase the patient data of finished packages, their events and their stored responses.

        Returns after the commit with the erased ids, and for each other id the reason:
        ``under_way`` (repeat the request when it is finished), ``still_told`` (a delivery of one of
        its events is pending) or ``unknown``.
        """
        async with self._database.begin() as connection:
            now = self._clock.now()
            result = await erase_finished(
                connection, self._packages.sealer, caller, package_ids, now
            )
            if result.redacted:
                key = (caller.account_id, caller.mode, caller.site)
                await note_changes(connection, [Change("packages", *key, result.redacted)], now)
            return result

    def _reviewed(self, package: PackageState, order: Order) -> Order:
        whole = msgspec.structs.replace(
            order, site=package.site, external_order_id=package.order.external_order_id
        )
        review = check(whole, self._sites.country(package.account_id, package.site))
        errors = review.errors
        kept = review.order or whole
        if not errors:
            [asked] = self._hooks.review_orders([kept])
            errors, kept = asked.errors, asked.order or kept
        if errors:
            raise InvalidInput("The changed order can't be accepted.", errors)
        return kept


def _changed(package: PackageState) -> Change:
    return Change("packages", package.account_id, package.mode, package.site, [package.id])


def _refuse_once_picked_up(package: PackageState) -> None:
    if package.status not in AMENDABLE:
        raise Conflict(f"The package is {package.status}; its order can't change any more.")


def _differences(before: Order, after: Order) -> tuple[str, ...]:
    names: Sequence[str] = Order.__struct_fields__
    return tuple(name for name in names if getattr(before, name) != getattr(after, name))


def _updated_event(
    package: PackageState,
    caller: Caller,
    changed: Sequence[str],
    now: datetime,
    cancelled: Sequence[Prescription] = (),
) -> EventDraft:
    fields: dict[str, Any] = {name: getattr(package.order, name) for name in _IN_EVENT}
    if cancelled:
        fields["cancelled_prescriptions"] = references_of(cancelled)
    return EventDraft(
        id=new_id("evt", now),
        type="package.updated",
        account_id=package.account_id,
        mode=package.mode,
        site=package.site,
        subject=package.id,
        data={**references(package), **fields, "changed": list(changed)},
        occurred_at=now,
        actor=caller.actor,
        status_after=package.status,
        routing=routing_of(package.order),
    )
