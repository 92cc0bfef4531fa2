"""Drivers' rounds: a round leaves, goes from door to door, and comes back.

The simulated morning and the later tasks use the same reports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.demo.calls import Program
from gateway.demo.invented import Inventor, copay_of

_MOST_REPORTS: Final = 100


@dataclass(frozen=True, slots=True)
class Carried:
    """A package of a round: its id and the order that it carries."""

    package_id: str
    order: Mapping[str, Any]


class Dispatch:
    """Sends orders and drivers' reports, as the shop's programs would."""

    def __init__(self, till: Program, courier: Program, inventor: Inventor) -> None:
        self._till = till
        self._courier = courier
        self.inventor = inventor

    async def take(self, orders: Sequence[Mapping[str, Any]]) -> list[Carried]:
        """Send orders; returns the packages."""
        answer = await self._till.post("/api/webhook/orders", {"orders": list(orders)})
        return [
            Carried(result["package_id"], orders[result["index"]])
            for result in answer["results"]
            if "package_id" in result
        ]

    async def report(self, event: str, packages: Iterable[Carried], **facts: Any) -> None:
        """Report the same step of several packages."""
        sent = [{"package_id": each.package_id, "event": event, **facts} for each in packages]
        for start in range(0, len(sent), _MOST_REPORTS):
            batch = {"events": sent[start : start + _MOST_REPORTS]}
            await self._courier.post("/api/delivery-events", batch)

    async def leave(self, packages: Sequence[Carried], driver: str) -> None:
        """Assign packages to a driver who takes them along."""
        await self.report("delivery.assigned", packages, driver_id=driver)
        await self.report("delivery.picked_up", packages, driver_id=driver)

    async def complete(self, package: Carried, driver: str, **otherwise: Any) -> None:
        """Report a delivery; ``otherwise`` has the fields that differ from a smooth one."""
        name, copay = package.order["patient_name"], copay_of(package.order)
        door = {**self.inventor.door(name, copay), **otherwise}
        await self.report("delivery.completed", [package], driver_id=driver, **door)
