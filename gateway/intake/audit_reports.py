"""The audit trail for people: its pages, its state, and the two reports about a patient.

Reading it is itself recorded. Routes, pages and commands ask here.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.intake.sites import SiteDirectory
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.csv_text import csv_lines, csv_text
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.stores.access_reports import (
    AuditFilter,
    AuditRow,
    Disclosure,
    PatientReports,
    Sought,
    as_rows,
)
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.audit_chain import Head, read_head
from gateway.storage.stores.audit_head import AuditState, look_at
from gateway.storage.stores.disclosures import verify_ledger
from gateway.storage.stores.timelines import names_of

MOST_VERIFIED: Final = 20_000
"""Rows that a page verifies at most: about a second; ``gateway audit verify`` reads all."""
_EXPORTED_AT_ONCE: Final = 500


class NamedRows(NamedTuple):
    """Rows of the trail, with the names of the people and keys among the actors."""

    rows: Sequence[AuditRow]
    names: dict[str, str]


class AuditReports:
    """Reads the trail for callers that may."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        trail: AuditTrail,
        reports: PatientReports,
        sites: SiteDirectory,
        head_file: Path,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._trail = trail
        self._reports = reports
        self._sites = sites
        self._head_file = head_file

    async def page(self, caller: Caller, wanted: AuditFilter) -> NamedRows:
        """Return rows, newest first."""
        async with self._database.read() as connection:
            found = await self._reports.page(connection, caller, wanted)
            names = await names_of(connection, caller, {each.actor for each in found})
        await self._trail.note([AuditEntry.by(caller, "list", "audit.searched", "audit")])
        return NamedRows(found, dict(names))

    async def accesses(self, caller: Caller, sought: Sought) -> NamedRows:
        """Return who saw or changed a patient's record, oldest first; raises ``InvalidInput``."""
        country = self._sites.country(caller.account_id, caller.site)
        wanted = self._reports.wanted(caller.account_id, sought, country)
        async with self._database.read() as connection:
            found = await self._reports.accesses(connection, caller, wanted)
            names = await names_of(connection, caller, {each.actor for each in found})
        asked = self._reports.asked(caller, wanted, "report.access", hits=bool(found))
        await self._trail.note([asked])
        return NamedRows(found, dict(names))

    async def disclosures(self, caller: Caller, sought: Sought) -> list[Disclosure]:
        """Return to whom a patient's data was disclosed, by first time; raises ``InvalidInput``."""
        country = self._sites.country(caller.account_id, caller.site)
        wanted = self._reports.wanted(caller.account_id, sought, country)
        async with self._database.read() as connection:
            found = await self._reports.accounting(connection, caller, wanted)
            names = await names_of(connection, caller, {each.recipient for each in found})
        asked = self._reports.asked(caller, wanted, "report.disclosures", hits=bool(found))
        await self._trail.note([asked])
        return [
            msgspec.structs.replace(
                each, recipient_name=each.recipient_name or names.get(each.recipient, "")
            )
            for each in found
        ]

    async def newest(self) -> Head | None:
        """Return the newest row's sequence and digest."""
        async with self._database.read() as connection:
            return await read_head(connection)

    async def verify(self) -> AuditState:
        """Verify the newest rows, the kept head and the ledger of disclosures."""
        async with self._database.read() as connection:
            state = await look_at(connection, self._sealer, self._head_file, newest=MOST_VERIFIED)
            if state.is_whole and not (await verify_ledger(connection, self._sealer)).is_whole:
                return AuditState(is_whole=False, detail="the ledger of disclosures was changed")
        return state

    async def export(self, caller: Caller, wanted: AuditFilter) -> AsyncIterator[bytes]:
        """Return the rows of ``wanted`` as CSV, newest first, whatever its limit."""
        await self._trail.note([AuditEntry.by(caller, "export", "audit.exported", "audit.csv")])
        return self._pieces(caller, wanted._replace(limit=_EXPORTED_AT_ONCE))

    async def _pieces(self, caller: Caller, wanted: AuditFilter) -> AsyncIterator[bytes]:
        yield csv_text(AuditRow.__struct_fields__, ()).encode()
        while True:
            async with self._database.read() as connection:
                found = await self._reports.page(connection, caller, wanted)
            if not found:
                return
            yield csv_lines([list(each.values()) for each in as_rows(found)]).encode()
            wanted = wanted._replace(before=found[-1].sequence)
