"""Packages for printing: chosen by ids, in the order of a tour, each audited."""

from collections.abc import Collection, Sequence
from typing import Final

from gateway.errors import InvalidInput, Problem
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.package import Package
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.packages import PackageStore

_FIELDS: Final = ("contact", "identity", "money")


class Prints:
    """Returns packages for printing to callers who may see contact data."""

    def __init__(self, database: Database, packages: PackageStore, audit: AuditTrail) -> None:
        self._database = database
        self._packages = packages
        self._audit = audit

    async def chosen(
        self, caller: Caller, package_ids: Collection[str], *, action: str, most: int, refusal: str
    ) -> Sequence[Package]:
        """Return the packages of up to ``most`` ids as :meth:`noted` does.

        Those that the caller may not see are left out. Raises ``InvalidInput`` with ``refusal`` for
        none and for too many.
        """
        caller.need("reveal.contact")
        if not 1 <= len(package_ids) <= most:
            problem = Problem(f"name 1 to {most} packages", field="package_ids")
            raise InvalidInput(refusal, [problem])
        async with self._database.read() as connection:
            found = await self._packages.of_ids(connection, caller, package_ids)
        return await self.noted(caller, found, action=action)

    async def noted(
        self, caller: Caller, found: Sequence[Package], *, action: str
    ) -> Sequence[Package]:
        """Return those that aren't erased, by driver and time of arrival; audited as a print."""
        shown = sorted(
            (each for each in found if not each.purged),
            key=lambda each: (each.driver_id or "", each.id),
        )
        await self._audit.note(
            [
                AuditEntry.by(
                    caller,
                    "print",
                    action,
                    each.id,
                    patient=self._packages.patient_keys(each),
                    fields=_FIELDS,
                    site=each.site,
                    purpose="delivery",
                )
                for each in shown
            ]
        )
        return shown
