"""The two reports about one patient: who saw the record, and to whom it was disclosed.

A patient is named by any value that is known: a patient id, an rx number, a phone number, or name
and address. What has one of these is found directly; what only names the package (it was erased
before) is found by the package's id. 45 CFR 164.528 asks for the accounting of disclosures,
PHIPA s.10.1 for the access log.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Row, Select, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, isoformat, to_epoch_ms
from gateway.errors import InvalidInput
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry, PatientKeys, groups_of
from gateway.model.phone import to_e164
from gateway.storage.database import among
from gateway.storage.schema import (
    BY_ACTION,
    BY_ACTOR,
    RARE_KIND,
    RARE_KINDS,
    attempts,
    audit,
    deliveries,
    destinations,
    disclosures,
    events,
    package_prescriptions,
    packages,
)
from gateway.storage.stores.audit_chain import opened
from gateway.storage.stores.disclosures import READ, WAS_SENT
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.lookups import lookups_of, owners_of
from gateway.storage.stores.packages import PackageStore, name_indexes
from gateway.storage.tenancy import visible_to

DISCLOSING: Final = ("export", "print", "disclose")
"""Kinds of audit rows that are disclosures themselves."""
_COLUMNS: Final = {
    "patient": packages.c.patient_index,
    "phone": packages.c.phone_index,
    "name_address": packages.c.name_index,
}
_MAX_SUBJECTS: Final = 5000


class Sought(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A patient, named in one way: an id, an rx number, a phone, or name and address."""

    external_patient_id: str | None = None
    rx_number: str | None = None
    patient_phone: str | None = None
    patient_name: str | None = None
    patient_address: str | None = None


class Wanted(NamedTuple):
    """A patient, by what is known: a look-up's name, and its values under every index key."""

    name: str
    values: Sequence[bytes]


class AuditFilter(NamedTuple):
    """Which rows of the trail to return; ``before`` is where the last page ended."""

    limit: int
    before: int | None = None
    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditRow(msgspec.Struct, frozen=True):
    """A row of the trail, as it is shown. ``fields`` are groups; times are ISO 8601."""

    sequence: int
    at: str
    actor: str
    action: str
    kind: str | None
    subject: str
    fields: tuple[str, ...]
    site: str | None
    purpose: str | None
    via: str | None
    session: str | None
    outcome: str | None
    address: str | None
    detail: str | None
    account: str


class Disclosure(msgspec.Struct, frozen=True):
    """Disclosures to one recipient: the first, the last, and how many there were.

    ``what`` is an event type or an action, ``recipient`` the receiver's id and
    ``recipient_name`` its name; ``source`` is ``attempts``, ``folded`` or ``audit``.
    """

    first_at: str
    last_at: str
    count: int
    recipient: str
    recipient_name: str
    what: str
    fields: tuple[str, ...]
    purpose: str
    site: str | None
    source: str


class PatientReports:
    """Reads the trail and the disclosures for the caller's account and sites."""

    def __init__(self, packages: PackageStore, events: EventStore) -> None:
        self._packages = packages
        self._sealer = packages.sealer
        self._events = events

    def wanted(self, account_id: str, sought: Sought, country: str) -> Wanted:
        """Return the look-up of a patient; ``country`` decides how a local phone number is read.

        Raises ``InvalidInput`` unless exactly one way of naming the patient is used.
        """
        ways = (
            sought.external_patient_id,
            sought.rx_number,
            sought.patient_phone,
            sought.patient_name,
        )
        if sum(1 for each in ways if each) != 1 or bool(sought.patient_name) != bool(
            sought.patient_address
        ):
            raise InvalidInput(
                "Name the patient in exactly one way: by external_patient_id, rx_number, "
                "patient_phone, or patient_name with patient_address."
            )
        indexes = self._packages.indexes
        if sought.external_patient_id:
            values = indexes("external_patient_id", account_id, sought.external_patient_id)
            return Wanted("patient", values)
        if sought.rx_number:
            return Wanted("rx", indexes("rx_number", account_id, sought.rx_number))
        if sought.patient_phone:
            phone = to_e164(sought.patient_phone, country)
            if phone is None:
                raise InvalidInput("This is not a phone number; write it as +13055551234.")
            return Wanted("phone", indexes("patient_phone", account_id, phone))
        name, address = sought.patient_name or "", sought.patient_address or ""
        return Wanted("name_address", name_indexes(self._sealer, account_id, name, address))

    @staticmethod
    def asked(caller: Caller, wanted: Wanted, action: str, *, hits: bool) -> AuditEntry:
        """Return the audit entry of a report: the index that was asked for, hits or none."""
        keys = {
            "patient": PatientKeys(patient=wanted.values[0]),
            "rx": PatientKeys(rx=(wanted.values[0],)),
            "phone": PatientKeys(phone=wanted.values[0]),
            "name_address": PatientKeys(name_address=wanted.values[0]),
        }[wanted.name]
        return AuditEntry.by(
            caller,
            "search",
            action,
            wanted.name,
            patient=keys,
            purpose="patient_request",
            outcome="hits" if hits else "none",
        )

    async def page(
        self, connection: AsyncConnection, caller: Caller, wanted: AuditFilter
    ) -> list[AuditRow]:
        """Return rows of the trail, newest first."""
        query = self._rows(caller).order_by(audit.c.sequence.desc()).limit(wanted.limit)
        for column, value in (
            (audit.c.actor, wanted.actor),
            (audit.c.action, wanted.action),
            (audit.c.kind, wanted.kind),
            (audit.c.subject, wanted.subject),
        ):
            if value is not None:
                query = query.where(column == value)
        if (index := _index_of(wanted)) is not None:
            query = query.where(text(index))
        if wanted.before is not None:
            query = query.where(audit.c.sequence < wanted.before)
        if wanted.since is not None:
            query = query.where(audit.c.at_ms >= to_epoch_ms(wanted.since))
        if wanted.until is not None:
            query = query.where(audit.c.at_ms < to_epoch_ms(wanted.until))
        return [self._shown(row) for row in await connection.execute(query)]

    async def accesses(
        self, connection: AsyncConnection, caller: Caller, wanted: Wanted
    ) -> list[AuditRow]:
        """Return who saw or changed the patient's record, oldest first."""
        subjects, owners = await self._found(connection, caller, wanted)
        ids = {each for each in owners if each.startswith("aud_")}
        of_packages = await owners_of(connection, "package", [each.encode() for each in subjects])
        ids |= {each for each in of_packages if each.startswith("aud_")}
        conditions = [
            among(connection, audit.c.id, ids),
            among(connection, audit.c.subject, subjects),
        ]
        if wanted.name == "patient":  # rows of the first version
            conditions.append(audit.c.patient_index.in_(list(wanted.values)))
        query = self._rows(caller).where(or_(*conditions)).order_by(audit.c.sequence)
        return [self._shown(row) for row in await connection.execute(query)]

    async def of_package(
        self, connection: AsyncConnection, caller: Caller, package_id: str, *, limit: int
    ) -> list[AuditRow]:
        """Return who saw or changed a package or a file of it, newest first."""
        owners = await owners_of(connection, "package", [package_id.encode()])
        ids = [each for each in owners if each.startswith("aud_")]
        query = self._rows(caller).where(
            or_(audit.c.subject == package_id, among(connection, audit.c.id, ids))
        )
        rows = await connection.execute(query.order_by(audit.c.sequence.desc()).limit(limit))
        return [self._shown(row) for row in rows]

    async def accounting(
        self, connection: AsyncConnection, caller: Caller, wanted: Wanted
    ) -> list[Disclosure]:
        """Return to whom the patient's data was disclosed, by first time."""
        subjects, owners = await self._found(connection, caller, wanted)
        of_packages = await owners_of(connection, "package", [each.encode() for each in subjects])
        ids = {each for each in owners | of_packages if each.startswith("dis_")}
        found = [
            *await self._attempts(connection, caller, subjects),
            *await self._folded(connection, caller, ids),
            *(
                _of_audit(row)
                for row in await self.accesses(connection, caller, wanted)
                if row.kind in DISCLOSING
            ),
        ]
        names = await _names(connection, {each.recipient for each in found})
        named = [
            msgspec.structs.replace(
                each, recipient_name=each.recipient_name or names.get(each.recipient, "")
            )
            for each in found
        ]
        return sorted(named, key=lambda each: (each.first_at, each.recipient, each.what))

    async def _found(
        self, connection: AsyncConnection, caller: Caller, wanted: Wanted
    ) -> tuple[set[str], set[str]]:
        """Return what events may be about (packages and others), and all owners of look-ups."""
        owners = await owners_of(connection, wanted.name, wanted.values)
        subjects = {each for each in owners if not each.startswith(("aud_", "dis_"))}
        values = list(wanted.values)
        of_account = packages.c.account_id == caller.account_id
        if wanted.name == "rx":
            first = select(packages.c.id).where(of_account, packages.c.rx_index.in_(values))
            others = select(package_prescriptions.c.package_id).where(
                package_prescriptions.c.account_id == caller.account_id,
                package_prescriptions.c.rx_index.in_(values),
            )
            queries = [first, others]
        else:
            queries = [select(packages.c.id).where(of_account, _COLUMNS[wanted.name].in_(values))]
        for query in queries:
            subjects.update((await connection.execute(query)).scalars())
        # Rows that were found name packages that are erased by now.
        named = [each for each in owners if each.startswith(("aud_", "dis_"))]
        for pairs in (await lookups_of(connection, named)).values():
            subjects.update(value.decode() for name, value in pairs if name == "package")
        return set(sorted(subjects)[-_MAX_SUBJECTS:]), owners

    async def _attempts(
        self, connection: AsyncConnection, caller: Caller, subjects: Collection[str]
    ) -> list[Disclosure]:
        query = (
            select(
                attempts.c.started_at_ms,
                attempts.c.destination_id,
                attempts.c.event_type,
                events.c.id,
                events.c.site,
            )
            .select_from(events)
            .join(deliveries, deliveries.c.event_id == events.c.id)
            .join(attempts, attempts.c.delivery_id == deliveries.c.id)
            .where(
                *visible_to(caller, events),
                among(connection, events.c.subject, subjects),
                WAS_SENT,
            )
        )
        rows = (await connection.execute(query)).all()
        happened = await self._events.by_id(connection, sorted({row.id for row in rows}))
        grouped: dict[tuple[Any, ...], list[int]] = {}
        for row in rows:
            if not caller.sees_site(row.site):
                continue
            event = happened.get(row.id)
            fields = () if event is None else groups_of(event.data)
            key = (row.destination_id, row.event_type, fields, row.site)
            grouped.setdefault(key, []).append(row.started_at_ms)
        return [
            Disclosure(
                isoformat(from_epoch_ms(min(times))),
                isoformat(from_epoch_ms(max(times))),
                len(times),
                recipient,
                "",
                event_type,
                fields,
                "delivery",
                site,
                "attempts",
            )
            for (recipient, event_type, fields, site), times in grouped.items()
        ]

    async def _folded(
        self, connection: AsyncConnection, caller: Caller, ids: Collection[str]
    ) -> list[Disclosure]:
        query = READ.where(
            *visible_to(caller, disclosures),
            among(connection, disclosures.c.id, ids),
        )
        return [
            Disclosure(
                isoformat(from_epoch_ms(row.first_at_ms)),
                isoformat(from_epoch_ms(row.last_at_ms)),
                row.times,
                row.recipient,
                "",
                row.event_type,
                tuple(row.fields.split(",")) if row.fields else (),
                "delivery",
                row.site,
                "folded",
            )
            for row in await connection.execute(query)
            if caller.sees_site(row.site)
        ]

    @staticmethod
    def _rows(caller: Caller) -> Select[Any]:
        query = select(audit).where(audit.c.account_id == caller.account_id)
        return (
            query if caller.sites is None else query.where(audit.c.site.in_(sorted(caller.sites)))
        )

    def _shown(self, row: Row[Any]) -> AuditRow:
        return AuditRow(
            sequence=row.sequence,
            at=isoformat(from_epoch_ms(row.at_ms)),
            actor=row.actor,
            action=row.action,
            kind=row.kind,
            subject=row.subject,
            fields=tuple(row.fields.split(",")) if row.fields else (),
            site=row.site,
            purpose=row.purpose,
            via=row.via,
            session=row.session,
            outcome=row.outcome,
            address=opened(self._sealer, row, "address"),
            detail=opened(self._sealer, row, "detail"),
            account=row.account_id,
        )


def _of_audit(row: AuditRow) -> Disclosure:
    # What another party's key was shown names the party (AuditEntry.by).
    party = row.detail if row.actor.startswith("key_") and row.kind == "disclose" else None
    return Disclosure(
        row.at, row.at, 1, row.actor, party or "", row.action, row.fields,
        row.purpose or "operations", row.site, "audit",
    )  # fmt: skip


def _index_of(wanted: AuditFilter) -> str | None:
    """Return the condition of the index that a list of the trail is read by."""
    if wanted.subject is not None:  # the subject's own
        return None
    if wanted.actor is not None:
        return BY_ACTOR
    if wanted.action is not None:
        return BY_ACTION
    return RARE_KIND if wanted.kind in RARE_KINDS else None


async def _names(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, str]:
    rows = await connection.execute(
        select(destinations.c.id, destinations.c.name).where(
            among(connection, destinations.c.id, sorted(ids))
        )
    )
    return {row[0]: row[1] for row in rows}


def as_rows(found: Sequence[msgspec.Struct]) -> list[dict[str, Any]]:
    """Return report rows as plain values, lists as text with commas, for CSV and tables."""
    return [
        {
            name: ",".join(value) if isinstance(value, (list, tuple)) else value
            for name, value in msgspec.to_builtins(each).items()
        }
        for each in found
    ]
