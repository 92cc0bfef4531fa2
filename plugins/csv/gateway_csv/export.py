"""Export packages to a CSV file that opens in a spreadsheet program and can be imported."""

import csv
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TextIO

from gateway.plugin import (
    ALL_OF_AN_ORDER,
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
_OF_THE_DELIVERY: Final = (
    "driver",
    "delivered_at",
    "proof_photo",
    "proof_signature",
    "signer_name",
    "copay_collected",
    "copay_method",
)
HEADERS: Final = (
    "package_id",
    "status",
    "created_at",
    "site",
    "source",
    *_OF_THE_ORDER,
    *_OF_THE_DELIVERY,
)
_NOT_ON_ITS_WAY: Final = frozenset({"created", "ready"})


class Wanted(NamedTuple):
    """The filter of an export."""

    site: str | None = None
    status: str | None = None
    since: datetime | None = None


async def export(gateway: Gateway, caller: Caller, wanted: Wanted, out: TextIO) -> int:
    """Write packages, newest first; returns their number. Each is audited as seen by the caller."""
    writer = csv.writer(out, lineterminator="\r\n")
    out.write(MARK)
    writer.writerow(HEADERS)
    count = 0
    async for packages in _pages(gateway, caller, wanted):
        shown = [each for each in packages if not each.purged]
        await gateway.audit.note([_seen(gateway, caller, each) for each in shown])
        deliveries = await _deliveries(gateway, caller, shown)
        writer.writerows(_row(each, deliveries.get(each.id, {})) for each in shown)
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


async def _deliveries(
    gateway: Gateway, caller: Caller, packages: Sequence[Package]
) -> dict[str, dict[str, Any]]:
    """Return what drivers reported of packages, the latest report last."""
    found: dict[str, dict[str, Any]] = {}
    async with gateway.database.read() as connection:
        for package in packages:
            if package.status in _NOT_ON_ITS_WAY:
                continue
            facts: dict[str, Any] = {}
            for event in await gateway.events.of_subject(connection, caller, package.id):
                facts.update({name: fact for name, fact in event.data.items() if fact is not None})
            found[package.id] = facts
    return found


def _seen(gateway: Gateway, caller: Caller, package: Package) -> AuditEntry:
    return AuditEntry.by(
        caller,
        "export",
        "package.exported",
        package.id,
        patient=gateway.packages.patient_keys(package),
        fields=(*ALL_OF_AN_ORDER, "image", "proof"),
        site=package.site,
    )


def _row(package: Package, facts: Mapping[str, Any]) -> list[str]:
    order = [getattr(package.order, name) for name in _OF_THE_ORDER]
    proof = facts.get("proof") or {}
    delivery = [
        facts.get("driver_id"),
        facts.get("delivered_at"),
        proof.get("photo_url") or proof.get("photo_file"),
        proof.get("signature_url") or proof.get("signature_file"),
        proof.get("signer_name"),
        facts.get("copay_collected"),
        facts.get("copay_method"),
    ]
    start = [package.id, package.status, isoformat(package.created_at), package.site or ""]
    return [*start, package.source, *(harmless(_text(each)) for each in (*order, *delivery))]


def _text(value: Any) -> str:
    if value is None or value in ({}, ()):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return encode(value).decode() if isinstance(value, dict | tuple) else str(value)
