"""The clear columns of packages: what lists are filtered by, copied out of the sealed order.

``delivery_day`` is the order's delivery date, a day of its site; ``driver_id`` the driver who has
the package or had it last; ``flags`` the bits of :data:`~gateway.storage.schema.FLAGS`.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.order import Order
from gateway.model.package import Status
from gateway.storage.schema import FLAGS, NOT_ROUTINE, flagged, packages

CLEAR_COLUMNS: Final = ("delivery_day", "priority", "flags")
"""Those that an order says; the driver is reported later."""
ROUTINE: Final = "routine"
_LATER: Final = FLAGS["needs_person"] | FLAGS["no_proof"]
"""Flags that reports set, and no order."""
# The delivery is over, and the patient doesn't have the bag.
_LEFT_TO_A_PERSON: Final[frozenset[Status]] = frozenset({"failed", "returned"})


class ClearFilter(NamedTuple):
    """What a list is narrowed to; ``flag`` is a key of ``FLAGS``, ``delivery_day`` ISO."""

    delivery_day: str | None = None
    priority: str | None = None
    driver_id: str | None = None
    flag: str | None = None


def clear_values(order: Order, kept_flags: int = 0) -> tuple[str | None, str, int]:
    """Return the values of ``CLEAR_COLUMNS``; ``kept_flags`` are flags that no order says."""
    day = order.delivery_date
    flags = kept_flags & _LATER
    if order.requires_signature:
        flags |= FLAGS["signature"]
    for each in order.prescriptions:
        if each.refrigerated:
            flags |= FLAGS["refrigerated"]
        if each.controlled:
            flags |= FLAGS["controlled"]
    return (None if day is None else day.isoformat(), order.priority, flags)


class Mark(NamedTuple):
    """What a report makes of a package's driver and flags."""

    account_id: str
    package_id: str
    driver_id: str | None
    flags: int


async def set_marks(connection: AsyncConnection, marks: Sequence[Mark]) -> None:
    """Write the drivers and flags of packages whose reports changed them."""
    if marks:
        await connection.execute(
            update(packages)
            .where(packages.c.account_id == bindparam("account"), packages.c.id == bindparam("key"))
            .values(driver_id=bindparam("new_driver"), flags=bindparam("new_flags")),
            [
                {"account": account, "key": key, "new_driver": driver, "new_flags": flags}
                for account, key, driver, flags in marks
            ],
        )


async def set_clear_values(
    connection: AsyncConnection, account_id: str, package_id: str, order: Order, flags: int
) -> None:
    """Write what a changed order says; ``flags`` are those that the package had."""
    values = dict(zip(CLEAR_COLUMNS, clear_values(order, flags), strict=True))
    await connection.execute(
        update(packages)
        .where(packages.c.account_id == account_id, packages.c.id == package_id)
        .values(**values)
    )


def driver_after(current: str | None, event_type: str, reported: str | None) -> str | None:
    """Return the driver of a package after a report."""
    if event_type == "delivery.unassigned":
        return None
    return reported or current


def flags_after(current: int, status: Status, *, proved: bool = True) -> int:
    """Return a package's flags once it has moved to ``status``, with a proof or without."""
    if status in _LEFT_TO_A_PERSON:
        return current | FLAGS["needs_person"]
    if status == "completed" and not proved:
        return current | FLAGS["no_proof"]
    return current


async def now_proved(connection: AsyncConnection, account_id: str, package_id: str) -> None:
    """Take ``no_proof`` off a package that a photo or signature was added to later."""
    await connection.execute(
        update(packages)
        .where(
            packages.c.account_id == account_id,
            packages.c.id == package_id,
            text(flagged("no_proof")),
        )
        .values(flags=packages.c.flags - FLAGS["no_proof"])
    )


def with_need(flags: int, *, needed: bool) -> int:
    """Return ``flags`` with the one that says a person has to look, or without."""
    bit = FLAGS["needs_person"]
    return flags | bit if needed else flags & ~bit


def clear_conditions(wanted: ClearFilter) -> list[Any]:
    """Return the conditions of packages that ``wanted`` names.

    Those of the partial indexes are repeated, so that the planner takes them.
    """
    conditions: list[Any] = []
    if wanted.delivery_day is not None:
        conditions.append(packages.c.delivery_day == wanted.delivery_day)
    if wanted.priority is not None:
        conditions.append(packages.c.priority == wanted.priority)
        if wanted.priority != ROUTINE:
            conditions.append(text(NOT_ROUTINE))
    if wanted.driver_id is not None:
        conditions.append(packages.c.driver_id == wanted.driver_id)
    if wanted.flag is not None:
        conditions.append(text(flagged(wanted.flag)))
    return conditions
