"""Apply delivery updates: state machine → event, in one transaction.

Concurrent updates share a transaction that locks their packages, so that two updates of one
package are applied one after the other.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, to_epoch_ms
from gateway.delivery.publisher import Publisher
from gateway.errors import Conflict, InvalidInput, NotFound, Problem
from gateway.model.account import Caller
from gateway.model.bag import references_of
from gateway.model.event import EventDraft, Published
from gateway.model.file import StoredFile
from gateway.model.ids import new_id
from gateway.model.order import routing_of
from gateway.model.package import (
    EVENT_FOR,
    STATUS_AFTER,
    DeliveryUpdate,
    Proof,
    Status,
    destined_status,
)
from gateway.model.place_rules import Places
from gateway.model.submission import UpdateResult
from gateway.model.update import check_update, facts_of
from gateway.observability.metrics import Metrics
from gateway.storage.batcher import Batcher
from gateway.storage.database import Database
from gateway.storage.files.store import FileStore
from gateway.storage.maintenance.clear_filler import ClearFiller
from gateway.storage.stores.clear_columns import (
    Mark,
    driver_after,
    flags_after,
    set_marks,
    with_need,
)
from gateway.storage.stores.events import EarlierReport, EventStore
from gateway.storage.stores.packages import PackageState, PackageStore
from gateway.storage.transaction import Transaction

_REFUSED: Final = "refused"


class _Report(NamedTuple):
    caller: Caller
    update: DeliveryUpdate
    ref: bytes | None


_RefFile = tuple[StoredFile, bytes | None]
"""A file of a package, and the digest of the reference that it was sent with."""

# A file that was sent with the reference of such a report is its proof.
_PROVED: Final = frozenset({"delivery.attempted", "delivery.completed", "delivery.failed"})
_KINDS: Final = (
    ("photo", "photo_file", "photo_url"),
    ("signature", "signature_file", "signature_url"),
)


class UpdateIntake:
    """Applies delivery updates. One per process."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts it reads and writes
        self,
        database: Database,
        packages: PackageStore,
        events: EventStore,
        files: FileStore,
        publisher: Publisher,
        filler: ClearFiller,
        places: Places,
        clock: Clock,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._filler = filler
        self._packages = packages
        self._events = events
        self._files = files
        self._publisher = publisher
        self._places = places
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._batcher: Batcher[_Report, UpdateResult] = Batcher(
            self._apply, observe=self._metrics.batches("tracking")
        )

    async def apply(self, caller: Caller, update: DeliveryUpdate) -> UpdateResult:
        """Apply one update; returns after the commit.

        Raises ``InvalidInput`` for a wrong update, ``NotFound`` for a package that is not the
        caller's, ``Conflict`` when its status doesn't allow the update.
        """
        ref = update.event_ref
        digest = None if ref is None else hashlib.sha256(ref.encode()).digest()
        try:
            checked = check_update(update)
        except InvalidInput:
            self._metrics.updates_taken((_REFUSED,))
            raise
        return await self._batcher.submit(_Report(caller, checked, digest))

    async def drained(self) -> None:
        """Wait until every update is stored and answered."""
        await self._batcher.drained()

    async def _apply(self, reports: Sequence[_Report]) -> Sequence[UpdateResult | Exception]:
        async def apply(
            transaction: Transaction,
        ) -> tuple[list[UpdateResult | Exception], Published]:
            return await self._applied(transaction, reports)

        answers, published = await self._database.transact(apply)
        self._publisher.announce(published)
        self._metrics.updates_taken(
            _REFUSED if isinstance(each, Exception) else each.outcome for each in answers
        )
        return answers

    async def _applied(
        self, transaction: Transaction, reports: Sequence[_Report]
    ) -> tuple[list[UpdateResult | Exception], Published]:
        """Apply reports in one transaction; returns their answers, and events to announce."""
        locked = await self._packages.states_of(
            transaction,
            {(each.caller.account_id, each.update.package_id) for each in reports},
            for_update=True,
        )
        packages = await self._filler.filled(transaction, locked)
        # Read after the lock: another process may have moved a package in the meantime, and
        # an update without a time of its own must not be older than that.
        now = self._clock.now()
        refs = {(each.update.package_id, each.ref) for each in reports if each.ref}
        earlier = await self._events.by_ref(transaction, refs)
        files = await self._files_for(transaction, reports)
        batch = _Batch(packages, earlier, files, self._places, now)
        answers = [batch.apply(report) for report in reports]
        await self._packages.move(transaction, batch.moves())
        await set_marks(transaction, batch.marks())
        return answers, await self._publisher.record(transaction, batch.drafts, now)

    async def _files_for(
        self, connection: AsyncConnection, reports: Sequence[_Report]
    ) -> Mapping[str, Sequence[_RefFile]]:
        """Return the files of the packages whose reports may name one, by package id."""
        wanted = {
            (each.caller.account_id, each.update.package_id)
            for each in reports
            if _named_files(each.update)
            or (each.ref and EVENT_FOR.get(each.update.event, each.update.event) in _PROVED)
        }
        found: dict[str, list[_RefFile]] = {}
        if wanted:
            for file, ref in await self._files.of_subjects(connection, wanted):
                found.setdefault(file.subject, []).append((file, ref))
        return found


class _Batch:
    """The status of each package while the updates of one batch are applied in turn."""

    def __init__(
        self,
        packages: Mapping[str, PackageState],
        earlier: Mapping[tuple[str, bytes], EarlierReport],
        files: Mapping[str, Sequence[_RefFile]],
        places: Places,
        now: datetime,
    ) -> None:
        self._before = packages
        self._files = files
        self._places = places
        self._packages = dict(packages)
        self._earlier = dict(earlier)
        self._now = now
        self._moved: set[str] = set()
        self.drafts: list[EventDraft] = []

    def apply(self, report: _Report) -> UpdateResult | Exception:
        """Apply one update; the next one sees its effect."""
        package = self._packages.get(report.update.package_id)
        caller = report.caller
        if package is None or package.mode != caller.mode or not caller.sees_site(package.site):
            return NotFound("There is no such package.")
        earlier = self._earlier.get((package.id, report.ref)) if report.ref else None
        if earlier is not None:
            status_then = cast("Status", earlier.status_after or package.status)
            return UpdateResult(earlier.event_id, package.id, status_then, "duplicate")
        report, faults = _with_files(report, self._files.get(package.id, ()))
        if faults:
            return InvalidInput("The delivery update has faults.", faults)
        # A phone's clock may run ahead; an update can't have happened in the future.
        occurred_at = min(report.update.occurred_at or self._now, self._now)
        reported = STATUS_AFTER[report.update.event]
        if _is_late(package, occurred_at, self._now):
            return self._record(report, package, reported, occurred_at, late=True)
        status = destined_status(package.status, reported)
        if status is None:
            return Conflict(f"The package is {package.status}; {report.update.event} can't follow.")
        moved = package._replace(
            status=status,
            status_at_ms=to_epoch_ms(occurred_at),
            driver_id=driver_after(package.driver_id, EVENT_FOR[status], report.update.driver_id),
            flags=flags_after(package.flags or 0, status, proved=_is_proved(report.update)),
        )
        if status == "completed" and self._places.broken(
            package.account_id, package.site, package.order, report.update
        ):
            moved = moved._replace(flags=with_need(moved.flags or 0, needed=True))
        self._packages[package.id] = moved
        self._moved.add(package.id)
        return self._record(report, moved, status, occurred_at, late=False)

    def moves(self) -> list[tuple[str, str, Status, int]]:
        """Return the final status of each package that moved."""
        ends = (self._packages[package_id] for package_id in sorted(self._moved))
        return [(each.account_id, each.id, each.status, each.status_at_ms) for each in ends]

    def marks(self) -> list[Mark]:
        """Return the driver and flags of each package whose reports changed them."""
        ends = (self._packages[package_id] for package_id in sorted(self._moved))
        return [
            Mark(each.account_id, each.id, each.driver_id, each.flags or 0)
            for each in ends
            if (each.driver_id, each.flags)
            != (self._before[each.id].driver_id, self._before[each.id].flags)
        ]

    def _record(
        self,
        report: _Report,
        package: PackageState,
        reported: Status,
        occurred_at: datetime,
        *,
        late: bool,
    ) -> UpdateResult:
        draft = EventDraft(
            id=new_id("evt", self._now),
            type=EVENT_FOR[reported],
            account_id=package.account_id,
            mode=package.mode,
            site=package.site,
            subject=package.id,
            data={**references(package), **facts_of(report.update, reported, occurred_at)},
            occurred_at=occurred_at,
            actor=report.caller.actor,
            ref=report.ref,
            status_after=package.status,
            late=late,
            trace=report.caller.trace,
            routing=routing_of(package.order),
        )
        self.drafts.append(draft)
        if report.ref:
            self._earlier[package.id, report.ref] = EarlierReport(draft.id, package.status)
        return UpdateResult(draft.id, package.id, package.status, "late" if late else "applied")


def references(package: PackageState) -> dict[str, Any]:
    """Return the ids by which an event refers to a package."""
    order = package.order
    data: dict[str, Any] = {
        "package_id": package.id,
        "external_patient_id": order.external_patient_id,
        "rx_number": order.rx_number,
    }
    if order.prescriptions:
        data["prescriptions"] = references_of(order.prescriptions)
    if order.external_order_id is not None:
        data["external_order_id"] = order.external_order_id
    if package.site is not None:
        data["site"] = package.site
    return data


def _is_late(package: PackageState, occurred_at: datetime, now: datetime) -> bool:
    """Return whether an update is older than the package's current status.

    Compared in whole seconds, as reporters give them. For a package that was only created no update
    is late. Nor is one when the status time is in the future, which happens after the clock was set
    back.
    """
    if package.status == "created" or package.status_at_ms > to_epoch_ms(now):
        return False
    return to_epoch_ms(occurred_at) // 1000 < package.status_at_ms // 1000


def _is_proved(update: DeliveryUpdate) -> bool:
    """Return whether a report has a photo, a signature, or the name of who took the bag."""
    proof = update.proof
    return proof is not None and any(
        (
            proof.photo_file,
            proof.photo_url,
            proof.signature_file,
            proof.signature_url,
            proof.signer_name,
        )
    )


def _named_files(update: DeliveryUpdate) -> bool:
    proof = update.proof
    return proof is not None and (proof.photo_file or proof.signature_file) is not None


def _with_files(report: _Report, files: Sequence[_RefFile]) -> tuple[_Report, Sequence[Problem]]:
    """Check the files that a report names, and add those that were sent with its reference."""
    proof, faults = report.update.proof or Proof(), []
    for kind, name, url in _KINDS:
        named = getattr(proof, name)
        mine = [file.id for file, _ in files if file.kind == kind]
        sent_along = [file.id for file, ref in files if file.kind == kind and ref == report.ref]
        if named is not None and named not in mine:
            text = f"{name} is no {kind} of this package: send the file first"
            faults.append(Problem(text, field=f"proof.{name}"))
        elif named is None and getattr(proof, url) is None and report.ref and sent_along:
            proof = msgspec.structs.replace(proof, **{name: sent_along[-1]})
    if proof != (report.update.proof or Proof()):
        update = msgspec.structs.replace(report.update, proof=proof)
        report = report._replace(update=update)
    return report, faults
