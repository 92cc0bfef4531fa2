"""Store many packages through intake, by the code on the path: ``upgrade_fill.py CONFIG COUNT``.

Run by ``upgrade.py`` with an earlier version's code, so it may use nothing that is new.
"""

import asyncio
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from gateway.model.account import Caller
from gateway.model.order import Candidate, Order
from gateway.model.package import DeliveryUpdate
from gateway.model.submission import Submission
from gateway.runtime import Gateway
from gateway.settings import load_settings

_AT_ONCE: Final = 2000
_UPDATES: Final = 500
_FIRST_DAY: Final = date(2026, 1, 1)
_PRIORITIES: Final = ("routine", "routine", "urgent", "stat")


def _order(number: int) -> Candidate:
    return Candidate(
        Order(
            patient_name=f"Maria Rodriguez {number}",
            patient_address=f"{number} Main St, Miami, FL 33178",
            patient_phone="+13055551234",
            rx_number=f"RX-{number}",
            copay_amount=Decimal("12.50"),
            priority=_PRIORITIES[number % 4],
            requires_signature=number % 5 == 0,
            delivery_date=_FIRST_DAY + timedelta(days=number % 300),
            external_order_id=f"SO-{number}",
            external_patient_id=f"P-{number % 5000}",
        )
    )


def _updates(number: int, package_id: str) -> list[DeliveryUpdate]:
    found = []
    if number % 2 == 0:
        driver = f"drv_{number % 20}"
        found.append(
            DeliveryUpdate(package_id=package_id, event="delivery.assigned", driver_id=driver)
        )
    if number % 4 == 0:
        found.append(DeliveryUpdate(package_id=package_id, event="delivery.completed"))
    return found


async def main() -> None:
    """Fill the database of a configuration."""
    config, count = Path(sys.argv[1]), int(sys.argv[2])
    caller = Caller("default", "live", "key_1")
    async with Gateway(load_settings(config, {})) as gateway:
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            orders = tuple(_order(number) for number in numbers)
            answer = await gateway.intake.accept(Submission(caller, "json_api", orders))
            updates = [
                update
                for number, each in zip(numbers, answer.results, strict=True)
                for update in _updates(number, each.package_id or "")
            ]
            for start in range(0, len(updates), _UPDATES):
                some = updates[start : start + _UPDATES]
                await asyncio.gather(*(gateway.tracking.apply(caller, each) for each in some))


asyncio.run(main())
