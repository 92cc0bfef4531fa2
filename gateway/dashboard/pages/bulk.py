"""Actions on selected packages: a preview, then the change; the manifest; the export."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple, get_args

import msgspec

from gateway.dashboard.news import last_digits
from gateway.dashboard.package_groups import _
from gateway.errors import InvalidInput, Problem
from gateway.model.audit import AuditEntry, shown_to
from gateway.model.bulk import MAX_AT_ONCE, BulkAction, BulkChange, BulkRow
from gateway.model.csv_text import csv_text
from gateway.model.masking import masked_package
from gateway.model.package import Package
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Download, SeeOther, Template

_ACTIONS: Final[tuple[BulkAction, ...]] = get_args(BulkAction)
_COLUMNS: Final = (
    "package_id", "status", "created_at", "site", "source", "driver_id", "delivery_date",
    "priority", "patient_name", "patient_address", "patient_phone", "rx_number", "copay_amount",
)  # fmt: skip


class Shown(NamedTuple):
    """One package of a bulk action, masked, with the effect of the change."""

    row: BulkRow
    package: Package | None
    rx: str


def bulk_actions(gateway: Gateway) -> tuple[Action, ...]:
    """Return the actions of the list."""
    bulk = Bulk(gateway)
    update = "packages.update"
    return (
        Action(path="bulk", permission=update, handler=bulk.preview),
        Action(path="bulk/apply", permission=update, handler=bulk.apply),
        Action(path="manifest", permission="reveal.contact", handler=bulk.manifest),
        Action(path="export", permission="packages.read", handler=bulk.export, step_up=True),
    )


class Bulk:
    """Previews and applies changes of the checked packages."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def preview(self, request: PageRequest) -> Template:
        """Show the effect on each package, and ask for the needed values."""
        form = await request.form()
        return await self._shown(request, _change(form, preview=True, today=request.formats.today))

    async def apply(self, request: PageRequest) -> Template | SeeOther:
        """Apply the change; the page names the packages that failed."""
        form = await request.form()
        change = _change(form, preview=False, today=request.formats.today)
        try:
            rows = await self._gateway.bulk.apply(request.caller, change)
        except InvalidInput as error:
            change = msgspec.structs.replace(
                change, delivery_date=change.delivery_date or _tomorrow(request.formats.today)
            )
            return await self._shown(request, change, error)
        failed = [each for each in rows if each.error is not None]
        if not failed:
            done = request.ntext("{n} package changed", "{n} packages changed", len(rows))
            return SeeOther("packages", toast=done)
        return Template(
            "packages_bulk.html",
            {
                "change": change,
                "is_done": True,
                "done": len(rows) - len(failed),
                "possible": [],
                "failed": await self._named(request, failed),
                "faults": {},
            },
        )

    async def manifest(self, request: PageRequest) -> Template:
        """Show the manifest, ready to print; audited as a print of each package."""
        form = await request.form()
        stops = await self._gateway.manifests.of(request.caller, _ids(form))
        drivers: dict[str, list[Any]] = {}
        for stop in stops:
            drivers.setdefault(stop.driver_id or "", []).append(stop)
        return Template("manifest.html", {"drivers": drivers, "count": len(stops)})

    async def export(self, request: PageRequest) -> Download:
        """Return the packages as CSV, as far as this person may see them."""
        form = await request.form()
        caller = request.caller
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.of_ids(connection, caller, _ids(form))
        fields = shown_to(caller)
        await self._gateway.audit.note(
            [
                AuditEntry.by(
                    caller,
                    "export",
                    "package.exported",
                    each.id,
                    patient=self._gateway.packages.patient_keys(each),
                    fields=fields,
                    site=each.site,
                )
                for each in found
            ]
        )
        rows = [_exported(masked_package(caller, each)) for each in found if not each.purged]
        return Download(
            "packages.csv", "text/csv; charset=utf-8", csv_text(_COLUMNS, rows).encode()
        )

    async def _shown(
        self, request: PageRequest, change: BulkChange, error: InvalidInput | None = None
    ) -> Template:
        asked = change
        if change.action == "assign" and not change.driver_id:
            asked = msgspec.structs.replace(change, driver_id="-")  # asked for on the page
        rows = await self._gateway.bulk.preview(request.caller, asked)
        named = await self._named(request, rows)
        return Template(
            "packages_bulk.html",
            {
                "change": change,
                "is_done": False,
                "done": 0,
                "possible": [each for each in named if each.row.error is None],
                "failed": [each for each in named if each.row.error is not None],
                "faults": {}
                if error is None
                else {each.field: each.message for each in error.details},
            },
            status=200 if error is None else 400,
        )

    async def _named(self, request: PageRequest, rows: Sequence[BulkRow]) -> list[Shown]:
        ids = [each.package_id for each in rows]
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.of_ids(connection, request.caller, ids)
        masked = request.caller.masked
        packages = {each.id: masked_package(masked, each) for each in found}
        await self._gateway.audit.note(
            self._gateway.packages.views(masked, list(packages.values()), "package.viewed")
        )
        return [
            Shown(
                each,
                packages.get(each.package_id),
                last_digits(packages[each.package_id].order.rx_number)
                if each.package_id in packages
                else "",
            )
            for each in rows
        ]


def _ids(form: Query) -> list[str]:
    ids = list(dict.fromkeys(form.all("id")))
    if not 1 <= len(ids) <= MAX_AT_ONCE:
        raise InvalidInput(
            _("Select packages first: at most 100 at a time."),
            [Problem(_("Check the boxes of the packages that you mean."))],
        )
    return ids


def _change(form: Query, *, preview: bool, today: date) -> BulkChange:
    action = form.get("action")
    if action not in _ACTIONS:
        raise InvalidInput("There is no such action.")
    day: date | None
    try:
        day = date.fromisoformat(form.get("delivery_date"))
    except ValueError:
        day = _tomorrow(today) if preview else None
    return BulkChange(
        action=action,
        package_ids=tuple(_ids(form)),
        driver_id=form.get("driver_id").strip() or None,
        delivery_date=day if action == "reschedule" else None,
        notes=form.get("notes").strip() or None,
    )


def _tomorrow(today: date) -> date:
    return today + timedelta(days=1)


def _exported(package: Package) -> list[object]:
    order = package.order
    return [
        package.id, package.status, package.created_at.isoformat(timespec="seconds"),
        package.site, package.source, package.driver_id, order.delivery_date, order.priority,
        order.patient_name, order.patient_address, order.patient_phone, order.rx_number,
        order.copay_amount,
    ]  # fmt: skip
