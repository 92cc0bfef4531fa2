"""Labels for bags: to whom a bag goes, what to mind at the door, and a code to scan.

The code is the package's id and nothing else: it means nothing outside of this gateway. A label
lies in the open, so it names no drug, no rx number and no telephone.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.intake.prints import Prints
from gateway.model.account import Caller
from gateway.model.package import Package
from gateway.model.printed import BagLabel, bag_label_of

MAX_LABELS: Final = 100


class BagLabels:
    """Makes labels for callers who may see contact data. ``names`` are sites by account, code."""

    def __init__(self, prints: Prints, names: Mapping[tuple[str, str], str]) -> None:
        self._prints = prints
        self._names = names

    async def of(self, caller: Caller, package_ids: Collection[str]) -> Sequence[BagLabel]:
        """Return the labels of packages, by driver and then as they came in; noted as a print.

        Packages that the caller doesn't see, and erased ones, are left out.
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
        name = None if site is None else self._names.get((package.account_id, site), site)
        return bag_label_of(package, name)
