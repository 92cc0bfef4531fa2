"""The packages API beyond lists: a day's counts, histories, changes of many at once.

The page of a package and these routes call the same services.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, RawBody
from msgspec import Meta

from gateway.clock import isoformat
from gateway.intake.bag_labels import MAX_LABELS
from gateway.intake.histories import Access
from gateway.intake.history_json import HistoryOut, history_out
from gateway.intake.manifests import MAX_ON_MANIFEST
from gateway.model.account import Caller
from gateway.model.audit import Purpose
from gateway.model.bulk import MAX_AT_ONCE, BulkAction, BulkChange, BulkRow
from gateway.model.csv_text import csv_text
from gateway.model.day import Day
from gateway.model.masking import masked_order
from gateway.model.order import Order
from gateway.model.printed import BagLabel, ManifestRow
from gateway.model.wire import decode
from gateway.runtime import Gateway
from gateway.sdk.http import json_response
from gateway.storage.stores.package_lists import DayCounts

_READ = "packages.read"


class HourOut(msgspec.Struct, frozen=True):
    """Packages delivered in an hour that begins at ``starts_at`` on the site's clock."""

    starts_at: str
    delivered: int


class DayOut(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a site. ``has_more``: it has over 10,000 packages; counting stopped there.

    ``usual_by_hour`` is the median of what was delivered in each of its hours on the same weekday
    of the last eight weeks; it is empty before three of them had deliveries.
    """

    date: date
    timezone: str
    starts_at: str
    ends_at: str
    packages: int
    has_more: bool
    by_status: dict[str, int]
    by_hour: list[HourOut]
    usual_by_hour: list[float]


class AccessOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who saw or changed a package: ``fields`` are the groups that were shown."""

    at: str
    actor: str
    actor_name: str | None
    action: str
    kind: str | None
    fields: list[str]
    purpose: str | None
    via: str | None


class PackageAccessesOut(msgspec.Struct, frozen=True):
    """Who saw or changed a package, newest first; up to 100."""

    accesses: list[AccessOut]


class RevealIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the package has to be seen in full."""

    purpose: Purpose


class RevealedOut(msgspec.Struct, frozen=True):
    """The order of a package, as far as the caller's permissions reveal it."""

    package_id: str
    order: Order


class BulkIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of up to 100 packages; with ``dry_run`` only previewed."""

    action: BulkAction
    package_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]
    driver_id: Annotated[str, Meta(max_length=100, description="to assign")] | None = None
    delivery_date: Annotated[date | None, Meta(description="to reschedule")] = None
    notes: Annotated[str, Meta(max_length=1000)] | None = None
    dry_run: bool = False


class BulkOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each package, or with ``dry_run`` would; ``failed`` have an error."""

    dry_run: bool
    changed: int
    failed: int
    packages: Sequence[BulkRow]


class ManifestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The packages of a manifest."""

    package_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_ON_MANIFEST)]


class BagLabelsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The packages whose bags get a label."""

    package_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_LABELS)]


class BagLabelsOut(msgspec.Struct, frozen=True):
    """Labels, by driver. No drug, no rx number, no telephone; `code` is for the QR code."""

    labels: Sequence[BagLabel]


class ManifestOut(msgspec.Struct, frozen=True):
    """The stops of a manifest, by driver. No drug, no rx number."""

    stops: Sequence[ManifestRow]


def packages_router(gateway: Gateway) -> Router:
    """Build the router; the gateway is open by the time a route is called."""
    handlers: list[HTTPRouteHandler] = [
        _day(gateway),
        _history(gateway),
        _accesses(gateway),
        _reveal(gateway),
        _bulk(gateway),
        _manifest(gateway),
        _bag_labels(gateway),
    ]
    return Router("/api", route_handlers=handlers, tags=["Packages"])


def _day(gateway: Gateway) -> HTTPRouteHandler:
    @get("/day", summary="Count a day's packages", opt={"permission": _READ, "answer": DayOut})
    async def show_day(
        caller: NamedDependency[Caller], on: FromQuery[date | None] = None
    ) -> Response[bytes]:
        """Count the packages of a day by status, and those delivered in each of its hours.

        They are those to be delivered that day, and those that came in that day and name none.
        The day is the site's, and has 23 to 25 hours; `on` is a date, by default today's.

        ```bash
        curl $GATEWAY/api/day -H "X-API-Key: $KEY"
        ```
        """
        day = gateway.days.day(caller, on)
        counts = await gateway.days.counts(caller, day)
        usual = await gateway.days.usual_deliveries(caller, day)
        return json_response(_day_out(day, counts, usual))

    return show_day


def _history(gateway: Gateway) -> HTTPRouteHandler:
    @get(
        "/packages/{package_id:str}/history",
        summary="Show a package's history",
        opt={"permission": _READ, "answer": HistoryOut},
    )
    async def show_history(
        package_id: FromPath[str], caller: NamedDependency[Caller]
    ) -> Response[bytes]:
        """Show each step of a package: who reported it, its proof, and which endpoints heard.

        ```bash
        curl $GATEWAY/api/packages/$PACKAGE/history -H "X-API-Key: $KEY"
        ```
        """
        history = await gateway.histories.of(caller, package_id)
        return json_response(history_out(caller, history))

    return show_history


def _accesses(gateway: Gateway) -> HTTPRouteHandler:
    @get(
        "/packages/{package_id:str}/accesses",
        summary="Show who saw a package",
        opt={"permission": "reports.access", "answer": PackageAccessesOut},
    )
    async def show_accesses(
        package_id: FromPath[str], caller: NamedDependency[Caller]
    ) -> Response[bytes]:
        """List who saw or changed a package, newest first.

        ```bash
        curl $GATEWAY/api/packages/$PACKAGE/accesses -H "X-API-Key: $KEY"
        ```
        """
        found = await gateway.histories.accesses(caller, package_id)
        return json_response(PackageAccessesOut([_access_out(each) for each in found]))

    return show_accesses


def _reveal(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/packages/{package_id:str}/reveal",
        status_code=200,
        summary="Reveal a package",
        opt={"permission": _READ, "limit": "reveals", "body": RevealIn, "answer": RevealedOut},
    )
    async def reveal_package(
        package_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller]
    ) -> Response[bytes]:
        r"""Show a package's order as far as you may see it, and say why: it is logged.

        ```bash
        curl -X POST $GATEWAY/api/packages/$PACKAGE/reveal -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"purpose": "care"}'
        ```
        """
        sent = decode(body, RevealIn)
        package = await gateway.histories.reveal(caller, package_id, sent.purpose)
        return json_response(RevealedOut(package.id, masked_order(caller, package.order)))

    return reveal_package


def _bulk(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/packages/bulk",
        status_code=200,
        summary="Change many packages",
        opt={"permission": "packages.update", "body": BulkIn, "answer": BulkOut},
    )
    async def change_packages(body: RawBody, caller: NamedDependency[Caller]) -> Response[bytes]:
        r"""Mark packages ready, assign a driver, reschedule or cancel them; each stands alone.

        `dry_run` shows what would become of each. To reschedule needs `orders.amend` as well: in
        the pharmacy the order's delivery date changes; on the road `delivery.rescheduled` goes out.

        ```bash
        curl -X POST $GATEWAY/api/packages/bulk -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" \
          -d '{"action": "ready", "package_ids": ["'$PACKAGE'"], "dry_run": true}'
        ```
        """
        sent = decode(body, BulkIn)
        change = BulkChange(
            action=sent.action,
            package_ids=sent.package_ids,
            driver_id=sent.driver_id,
            delivery_date=sent.delivery_date,
            notes=sent.notes,
        )
        work = gateway.bulk.preview if sent.dry_run else gateway.bulk.apply
        rows = await work(caller, change)
        failed = sum(each.error is not None for each in rows)
        return json_response(
            BulkOut(dry_run=sent.dry_run, changed=len(rows) - failed, failed=failed, packages=rows)
        )

    return change_packages


def _manifest(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/packages/manifest",
        status_code=200,
        summary="Make a driver's manifest",
        opt={
            "permission": ("packages.read", "reveal.contact"),
            "limit": "reads",
            "body": ManifestIn,
            "answer": ManifestOut,
        },
    )
    async def make_manifest(
        body: RawBody, caller: NamedDependency[Caller], as_csv: FromQuery[bool] = False
    ) -> Response[Any]:
        r"""List where each package goes and what to collect: no drug, no rx number. It is logged.

        ```bash
        curl -X POST "$GATEWAY/api/packages/manifest?as_csv=true" -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"package_ids": ["'$PACKAGE'"]}'
        ```
        """
        stops = await gateway.manifests.of(caller, decode(body, ManifestIn).package_ids)
        if not as_csv:
            return json_response(ManifestOut(stops))
        return Response(
            manifest_csv(stops),
            media_type="text/csv",
            headers={"Content-Disposition": 'attachment; filename="manifest.csv"'},
        )

    return make_manifest


def _bag_labels(gateway: Gateway) -> HTTPRouteHandler:
    @post(
        "/packages/labels",
        status_code=200,
        summary="Make bag labels",
        opt={
            "permission": ("packages.read", "reveal.contact"),
            "limit": "reads",
            "body": BagLabelsIn,
            "answer": BagLabelsOut,
        },
    )
    async def make_bag_labels(body: RawBody, caller: NamedDependency[Caller]) -> Response[Any]:
        r"""Return what a bag's label says, for a label printer of your own. It is logged.

        ```bash
        curl -X POST "$GATEWAY/api/packages/labels" -H "X-API-Key: $KEY" \
          -H "Content-Type: application/json" -d '{"package_ids": ["'$PACKAGE'"]}'
        ```
        """
        labels = await gateway.bag_labels.of(caller, decode(body, BagLabelsIn).package_ids)
        return json_response(BagLabelsOut(labels))

    return make_bag_labels


def manifest_csv(stops: Sequence[ManifestRow]) -> bytes:
    """Return a manifest as CSV."""
    columns = ManifestRow.__struct_fields__
    return csv_text(columns, [[getattr(stop, name) for name in columns] for stop in stops]).encode()


def _day_out(day: Day, counts: DayCounts, usual: Sequence[float]) -> DayOut:
    return DayOut(
        date=day.date,
        timezone=day.zone.key,
        starts_at=isoformat(day.starts_at),
        ends_at=isoformat(day.ends_at),
        packages=sum(counts.by_status.values()),
        has_more=counts.has_more,
        by_status=dict(counts.by_status),
        by_hour=[
            HourOut(hour.isoformat(timespec="minutes"), delivered)
            for hour, delivered in zip(day.hours(), counts.delivered, strict=True)
        ],
        usual_by_hour=list(usual),
    )


def _access_out(access: Access) -> AccessOut:
    row = access.row
    return AccessOut(
        at=row.at,
        actor=row.actor,
        actor_name=access.name,
        action=row.action,
        kind=row.kind,
        fields=list(row.fields),
        purpose=row.purpose,
        via=row.via,
    )
