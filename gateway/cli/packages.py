"""``gateway packages …``: list, show and search packages.

Packages hold patient data, so each one shown is recorded in the audit trail.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, get_args

import click
import msgspec

from gateway.cli.opening import caller_of, many_rows, one_row
from gateway.errors import NotFound
from gateway.model.event import Event
from gateway.model.masking import masked_package
from gateway.model.order import PRIORITIES
from gateway.model.package import Package, Status
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, TimeOrAgo, command, resolve_time, reveal_option
from gateway.storage.schema import FLAGS
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.packages import SEARCH_FIELDS

_COLUMNS: Final = ("created_at", "status", "site", "source", "patient_name", "rx_number", "id")


@command("list")
@click.option("--status", type=click.Choice(get_args(Status)), help="Only packages in this status.")
@click.option("--source", help="Only packages from this source plugin.")
@click.option("--since", type=TimeOrAgo(), help="Only packages created since: a time, or 24h.")
@click.option(
    "--delivery-day", type=click.DateTime(["%Y-%m-%d"]), help="Only for this day, as 2026-04-20."
)
@click.option("--priority", type=click.Choice(PRIORITIES), help="Only of this priority.")
@click.option("--driver", "driver_id", help="Only those of this driver, by the driver's id.")
@click.option("--flag", type=click.Choice(tuple(FLAGS)), help="Only those with this flag.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@many_rows
@reveal_option
async def list_packages(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    status: Status | None,
    source: str | None,
    since: datetime | timedelta | None,
    delivery_day: datetime | None,
    priority: str | None,
    driver_id: str | None,
    flag: str | None,
    limit: int,
    site: str | None,
    account: str,
    test_data: bool,
    reveal: bool,
) -> None:
    """List packages, newest first."""
    caller = caller_of(session, account, test_data=test_data, site=site, reveal=reveal)
    async with session.gateway() as gateway:
        after = None if since is None else resolve_time(since, gateway.clock.now())
        day = None if delivery_day is None else delivery_day.date().isoformat()
        clear = ClearFilter(day, priority, driver_id, flag)
        wanted = PackageFilter(limit, status=status, source=source, since=after, clear=clear)
        async with gateway.database.read() as connection:
            found = await gateway.packages.page(connection, caller, wanted)
        await gateway.audit.note(gateway.packages.views(caller, found, "package.viewed"))
    session.table(_COLUMNS, [_row(masked_package(caller, package)) for package in found])


@command("show")
@click.argument("package_id", metavar="ID")
@one_row
@reveal_option
async def show(
    session: Session, *, package_id: str, account: str, test_data: bool, reveal: bool
) -> None:
    """Show a package and its timeline."""
    caller = caller_of(session, account, test_data=test_data, reveal=reveal)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            package = await gateway.packages.get(connection, caller, package_id)
            if package is None:
                raise NotFound(
                    "There is no such package here: gateway packages list shows the ids; "
                    "--test and --account look elsewhere."
                )
            timeline = await gateway.events.of_subject(connection, caller, package_id)
        await gateway.audit.note(gateway.packages.views(caller, [package], "package.viewed"))
    session.record(
        {
            **_row(masked_package(caller, package)),
            "events": [_event_row(event) for event in timeline],
        }
    )


@command("search")
@click.option("--rx-number", help="The prescription number.")
@click.option("--patient-phone", help="The telephone number, as +13055551234.")
@click.option("--external-patient-id", help="The sender's id of the patient.")
@click.option("--external-order-id", help="The sender's id of the order.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@many_rows
@reveal_option
async def search(
    session: Session,
    /,
    *,
    limit: int,
    site: str | None,
    account: str,
    test_data: bool,
    reveal: bool,
    **wanted: str | None,
) -> None:
    """Find packages by one exact value. Values are sealed, so parts of one find nothing."""
    given = {name: value for name, value in wanted.items() if value is not None}
    if len(given) != 1:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in SEARCH_FIELDS)
        raise click.UsageError(f"Give exactly one of {options}.")
    [(name, value)] = given.items()
    caller = caller_of(session, account, test_data=test_data, site=site, reveal=reveal)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            found = await gateway.packages.search(connection, caller, name, value, limit=limit)
        asked = gateway.packages.searched(caller, name, value, hits=bool(found))
        await gateway.audit.note([asked, *gateway.packages.views(caller, found, "package.viewed")])
    session.table(_COLUMNS, [_row(masked_package(caller, package)) for package in found])


def _row(package: Package) -> Mapping[str, Any]:
    order = msgspec.to_builtins(package.order)
    order.pop("site", None)
    return {
        "id": package.id,
        "status": package.status,
        "status_at": timestamp(package.status_at),
        "account": package.account_id,
        "mode": package.mode,
        "site": package.site,
        "source": package.source,
        "created_at": timestamp(package.created_at),
        **(dict.fromkeys(order) if package.purged else order),
        "driver_id": package.driver_id,
        "needs_person": package.needs_person,
        "purged": package.purged,
    }


def _event_row(event: Event) -> Mapping[str, Any]:
    return {
        "occurred_at": timestamp(event.occurred_at),
        "event": event.type,
        "late": event.late,
        "actor": event.actor,
        "id": event.id,
    }


packages: Final = click.Group(
    "packages",
    commands=[list_packages, show, search],
    help="Packages: list, show, search by an exact value.",
)
