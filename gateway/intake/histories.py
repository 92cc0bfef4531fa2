"""A package's history: each step, who reported it, its proof, and its notified endpoints."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.errors import NotFound
from gateway.model.account import Caller
from gateway.model.audit import Purpose
from gateway.model.event import Event
from gateway.model.file import StoredFile
from gateway.model.package import Package
from gateway.model.permission import REVEAL_CONTACT, REVEAL_RX
from gateway.storage.database import Database
from gateway.storage.files.store import FileStore
from gateway.storage.stores.access_reports import AuditRow, PatientReports
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.packages import PackageStore
from gateway.storage.stores.timelines import Heard, heard_of, names_of

_MOST_ACCESSES: Final = 100


class Step(NamedTuple):
    """One event of a package. ``files`` are the stored files that its proof names."""

    event: Event
    reported_by: str | None
    heard: Sequence[Heard]
    files: Sequence[StoredFile]


class History(NamedTuple):
    """A package and its steps in the order they were recorded.

    ``files`` are all its files, oldest first; some may belong to no step.
    """

    package: Package
    steps: Sequence[Step]
    files: Sequence[StoredFile]


class Access(NamedTuple):
    """A row of the audit trail about one package, with the name of the person or key."""

    row: AuditRow
    name: str | None


class Histories:
    """Reads the history of one package."""

    def __init__(
        self,
        database: Database,
        packages: PackageStore,
        events: EventStore,
        files: FileStore,
        reports: PatientReports,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._packages = packages
        self._events = events
        self._files = files
        self._reports = reports
        self._audit = audit

    async def of(self, caller: Caller, package_id: str) -> History:
        """Return a package's history; raises ``NotFound``.

        The view is audited. The order and the events' data are unmasked: mask them for the caller.
        """
        async with self._database.read() as connection:
            package = await self._packages.get(connection, caller, package_id)
            if package is None:
                raise NotFound("There is no such package.")
            events = await self._events.of_subject(connection, caller, package_id)
            heard = await heard_of(connection, caller, [each.id for each in events])
            names = await names_of(connection, caller, {each.actor for each in events})
            kept = await self._files.of_subjects(connection, [(caller.account_id, package_id)])
        await self._audit.note(self._packages.views(caller, [package], "package.viewed"))
        files = [file for file, _ in kept]
        by_id = {each.id: each for each in files}
        steps = [
            Step(each, names.get(each.actor), heard.get(each.id, ()), _files_of(each, by_id))
            for each in events
        ]
        return History(package, steps, files)

    async def accesses(
        self, caller: Caller, package_id: str, *, limit: int = _MOST_ACCESSES
    ) -> Sequence[Access]:
        """Return who saw or changed a package, newest first; raises ``NotFound``."""
        async with self._database.read() as connection:
            package = await self._packages.get(connection, caller, package_id)
            if package is None:
                raise NotFound("There is no such package.")
            rows = await self._reports.of_package(connection, caller, package_id, limit=limit)
            names = await names_of(connection, caller, {each.actor for each in rows})
        return [Access(each, names.get(each.actor)) for each in rows]

    async def reveal(self, caller: Caller, package_id: str, purpose: Purpose) -> Package:
        """Return a package in full or in part, as the caller may see it; audited with the purpose.

        Raises ``NotFound``, and ``Forbidden`` for a caller without any reveal permission.
        """
        if not caller.may(REVEAL_RX):
            caller.need(REVEAL_CONTACT)
        async with self._database.read() as connection:
            package = await self._packages.get(connection, caller, package_id)
        if package is None:
            raise NotFound("There is no such package.")
        entries = [
            msgspec.structs.replace(each, purpose=purpose)
            for each in self._packages.views(caller, [package], "package.revealed")
        ]
        await self._audit.note(entries)
        return package


def _files_of(event: Event, files: Mapping[str, StoredFile]) -> list[StoredFile]:
    proof = event.data.get("proof")
    named = proof if isinstance(proof, Mapping) else {}
    ids = (named.get("photo_file"), named.get("signature_file"))
    return [files[each] for each in ids if isinstance(each, str) and each in files]
