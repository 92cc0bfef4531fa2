"""Break-glass: in an emergency a person opens one record in full, for 30 minutes, with a reason.

It needs the permission ``records.break_glass`` and a factor that was shown in the last minutes. It
stays on the page of the audit trail until another person has reviewed it.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from gateway.auth.sessions import SignedIn
from gateway.clock import Clock
from gateway.errors import Conflict, InvalidInput, NotAllowed, NotFound, Problem
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.ids import new_id
from gateway.model.person import Emergency
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.emergencies import EmergencyStore, OpenRecord
from gateway.storage.stores.packages import PackageStore

LIFE: Final = timedelta(minutes=30)
PERMISSION: Final = "records.break_glass"
OPEN_RECORDS: Final = "gateway_open_records"
"""The key of ``scope["state"]`` for the records that are open to a request's person."""
_MIN_REASON: Final = 10
_MAX_REASON: Final = 1000
_LISTED: Final = 200


class Records(NamedTuple):
    """The parts that emergencies need."""

    database: Database
    emergencies: EmergencyStore
    packages: PackageStore
    audit: AuditTrail
    clock: Clock


class Emergencies:
    """Opens records in emergencies, and records their reviews."""

    def __init__(self, records: Records) -> None:
        self._database = records.database
        self._store = records.emergencies
        self._packages = records.packages
        self._audit = records.audit
        self._clock = records.clock

    async def open(self, caller: Caller, package_id: str, reason: str) -> Emergency:
        """Open one package of the caller's sites in full; raises ``NotFound``."""
        text = " ".join(reason.split())
        if not _MIN_REASON <= len(text) <= _MAX_REASON:
            raise InvalidInput(
                "Say why this record has to be seen now.",
                [Problem(f"{_MIN_REASON} to {_MAX_REASON} characters", field="reason")],
            )
        now = self._clock.now()
        emergency = Emergency(
            id=new_id("emg", now),
            account_id=caller.account_id,
            person_id=caller.actor,
            subject=package_id,
            reason=text,
            created_at=now,
            expires_at=now + LIFE,
        )
        async with self._database.begin() as connection:
            package = await self._packages.get(connection, caller, package_id)
            if package is None:
                raise NotFound("No such package, or not at your sites.")
            await self._store.add(connection, emergency)
            entry = AuditEntry.by(
                caller,
                "reveal",
                "record.break_glass",
                package_id,
                patient=self._packages.patient_keys(package),
                purpose="emergency",
                detail=text,
            )
            await self._audit.record(connection, [entry], now)
        return emergency

    async def open_to(self, signed_in: SignedIn) -> Sequence[OpenRecord]:
        """Return the records that are open to this person in an emergency now."""
        if PERMISSION not in signed_in.permissions:
            return ()
        row = signed_in.row
        now = self._clock.now()
        return await self._store.open_to(self._database, row.account_id, row.person_id, now)

    async def page(self, account_id: str, *, unreviewed: bool) -> list[Emergency]:
        """Return the account's emergencies, newest first, up to 200."""
        async with self._database.read() as connection:
            return await self._store.page(
                connection, account_id, unreviewed=unreviewed, limit=_LISTED
            )

    async def review(self, caller: Caller, emergency_id: str) -> None:
        """Record, once, that ``caller`` has reviewed an emergency of another person."""
        now = self._clock.now()
        async with self._database.begin() as connection:
            found = await self._store.get(connection, caller.account_id, emergency_id)
            if found is None:
                raise NotFound("No such emergency.")
            if found.person_id == caller.actor:
                raise NotAllowed("Another person has to review what you opened yourself.")
            if not await self._store.review(connection, emergency_id, caller.actor, now):
                raise Conflict("It was reviewed before.")
            entry = AuditEntry.by(
                caller, "change", "break_glass.reviewed", found.subject, purpose="operations"
            )
            await self._audit.record(connection, [entry], now)
