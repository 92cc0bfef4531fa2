"""Packages out into a CSV file that opens in a spreadsheet program, and imports again."""

import csv
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, NamedTuple, TextIO

from gateway.plugin import (
    AuditEntry,
    Caller,
    Gateway,
    Order,
    Package,
    PackageFilter,
    encode,
    isoformat,
)
from gateway_csv.rejected import MARK, harmless

_AT_ONCE: Final = 500
_OF_THE_ORDER: Final = tuple(each for each in Order.__struct_fields__ if each != "site")
HEADERS: Final = ("package_id", "status", "created_at", "site", *_OF_THE_ORDER)


class Wanted(NamedTuple):
    """Which packages are exported."""

    site: str | None = None
    status: str | None = None
    since: datetime | None = None


async def export(gateway: Gateway, caller: Caller, wanted: Wanted, out: TextIO) -> int:
    """Write packages, newest first; returns how many. Each is noted as seen by the caller."""
    writer = csv.writer(out, lineterminator="\r\n")
    out.write(MARK)
    writer.writerow(HEADERS)
    count = 0
    async for packages in _pages(gateway, caller, wanted):
        shown = [each for each in packages if not each.purged]
        await gateway.audit.note([_seen(gateway, caller, each) for each in shown])
        writer.writerows(_row(each) for each in shown)
        count += len(shown)
    return count


async def _pages(gateway: Gateway, caller: Caller, wanted: Wanted) -> AsyncIterator[list[Package]]:
    before: str | None = None
    while True:
        asked = PackageFilter(
            _AT_ONCE, before, status=wanted.status, site=wanted.site, since=wanted.since
        )
        async with gateway.database.read() as connection:
            found = await gateway.packages.page(connection, caller, asked)
        if not found:
            return
        yield found
        before = found[-1].id


def _seen(gateway: Gateway, caller: Caller, package: Package) -> AuditEntry:
    return AuditEntry(
        caller.account_id,
        caller.actor,
        "package.exported",
        package.id,
        gateway.packages.patient_index(package),
    )


def _row(package: Package) -> list[str]:
    order = [harmless(_text(getattr(package.order, name))) for name in _OF_THE_ORDER]
    created_at = isoformat(package.created_at)
    return [package.id, package.status, created_at, package.site or "", *order]


def _text(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return encode(value).decode() if isinstance(value, dict) else str(value)
