"""Labels for bags: name and address, instructions for the door, and a code to scan.

The code is only the package's id, which has no meaning outside of this gateway. Anyone can read a
label, so it names no drug, no rx number and no telephone.
"""

from collections.abc import Collection, Sequence
from typing import Final

from gateway.intake.prints import Prints
from gateway.intake.sites import SiteDirectory
from gateway.model.account import Caller
from gateway.model.package import Package
from gateway.model.printed import BagLabel, bag_label_of

MAX_LABELS: Final = 100


class BagLabels:
    """Makes labels for callers who may see contact data."""

    def __init__(self, prints: Prints, sites: SiteDirectory) -> None:
        self._prints = prints
        self._sites = sites

    async def of(self, caller: Caller, package_ids: Collection[str]) -> Sequence[BagLabel]:
        """Return the labels of packages, by driver and time of arrival; audited as a print.

        Packages that the caller may not see, and erased ones, are left out.
        """
        shown = await self._prints.chosen(
            caller,
            package_ids,
            action="bag_label.printed",
            most=MAX_LABELS,
            refusal="The labels can't be made.",
        )
        return [self._label(each) for each in shown]

    def _label(self, package: Package) -> BagLabel:
        site = package.site
        name = None if site is None else self._sites.name(package.account_id, site)
        return bag_label_of(package, name)
