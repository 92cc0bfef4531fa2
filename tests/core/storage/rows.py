"""The stores of a database, and rows to put into them. Nothing here knows pytest."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.model.account import Caller
from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.model.event import Event, EventDraft
from gateway.model.ids import new_id
from gateway.model.order import Order
from gateway.model.package import Package
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.database import Database
from gateway.storage.schema import metadata
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.delivery_log import DeliveryLog
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.outbox import NewDelivery, Outbox, Settled
from gateway.storage.stores.packages import NewPackage, PackageStore
from gateway.testing.schema import migrated_file

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_MS = to_epoch_ms(NOW)
KEYRING = Keyring(bytes(range(32)), ((1, bytes(range(32, 64))),))
SEALER = Sealer(KEYRING)


def newest_only(keyring: Keyring) -> Keyring:
    """Return a keyring without its older seal keys, as an operator may cut the file."""
    return Keyring(keyring.index_key, keyring.seal_keys[-1:])


LIVE = Caller("acme", "live", "key_live")
TEST = Caller("acme", "test", "key_test")
AT_MAIN = Caller("acme", "live", "key_main", frozenset({"main"}))
OTHER = Caller("other", "live", "key_other")
ELSEWHERE = [
    TEST,
    OTHER,
    Caller("other", "test", "key"),
    Caller("acme", "live", "key", frozenset({"north"})),
]

ORDER = Order(
    patient_name="Maria Rodriguez",
    patient_address="123 Main St, Miami, FL 33178",
    patient_phone="+13055551234",
    rx_number="RX-8872341",
    external_patient_id="PMS-9081",
    external_order_id="SO-1001",
    site="main",
)


class Stores(NamedTuple):
    """Every store over one sealer."""

    accounts: AccountStore
    packages: PackageStore
    events: EventStore
    destinations: DestinationStore
    outbox: Outbox
    log: DeliveryLog


def stores(sealer: Sealer = SEALER) -> Stores:
    events = EventStore(sealer)
    return Stores(
        AccountStore(),
        PackageStore(sealer),
        events,
        DestinationStore(sealer),
        Outbox(sealer, events),
        DeliveryLog(sealer),
    )


async def with_all_tables(database: Database) -> Database:
    """Give an empty database the core's tables; returns it."""
    if database.path is not None and not database.path.exists():
        database.path.write_bytes(await asyncio.to_thread(migrated_file, ()))
    else:
        async with database.begin() as connection:
            await connection.run_sync(metadata.create_all)
    return database


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def order(**changes: Any) -> Order:
    return msgspec.structs.replace(ORDER, **changes)


def new_package(
    caller: Caller = LIVE, *, moment: datetime = NOW, source: str = "json_api", **changes: Any
) -> NewPackage:
    return NewPackage(
        new_id("pkg", moment),
        caller.account_id,
        caller.mode,
        source,
        order(**changes),
        to_epoch_ms(moment),
    )


def known_as(package: NewPackage, **changes: Any) -> Package:
    """Return the package as its account sees it."""
    plain = Package(
        id=package.id,
        account_id=package.account_id,
        mode=package.mode,
        site=package.order.site,
        source=package.source,
        status="created",
        status_at=NOW,
        created_at=NOW,
        order=package.order,
    )
    return msgspec.structs.replace(plain, **changes)


def draft(caller: Caller = LIVE, *, moment: datetime = NOW, **changes: Any) -> EventDraft:
    plain = EventDraft(
        id=new_id("evt", moment),
        type="delivery.completed",
        account_id=caller.account_id,
        mode=caller.mode,
        site=caller.site,
        subject="pkg_1",
        data={"package_id": "pkg_1"},
        occurred_at=moment,
        actor=caller.actor,
    )
    return msgspec.structs.replace(plain, **changes)


def destination(caller: Caller = LIVE, *, moment: datetime = NOW, **changes: Any) -> Destination:
    plain = Destination(
        id=new_id("dst", moment),
        account_id=caller.account_id,
        mode=caller.mode,
        site=caller.site,
        sink="webhook",
        name="Dispatch board",
        events=("*",),
        settings={"url": "https://example.com/hook", "secret": "whsec_1"},
        created_at=moment,
    )
    return msgspec.structs.replace(plain, **changes)


async def queued(
    connection: AsyncConnection,
    target: Destination,
    count: int = 1,
    *,
    subject: str = "pkg_1",
    in_order: bool = False,
    moment: datetime = NOW,
) -> tuple[list[Event], list[str]]:
    """Record ``count`` events and queue a delivery of each; returns events and delivery ids."""
    caller = Caller(
        target.account_id,
        target.mode,
        "key_1",
        None if target.site is None else frozenset({target.site}),
    )
    drafts = [draft(caller, moment=moment, subject=subject) for _ in range(count)]
    kept = stores()
    events = await kept.events.append(connection, drafts, moment)
    new = [
        NewDelivery(target.account_id, target.id, each.id, each.type, subject, in_order)
        for each in events
    ]
    return events, await kept.outbox.queue(connection, new, moment)


def outcome(claimed: ClaimedDelivery, **changes: Any) -> Outcome:
    plain = Outcome(
        delivery_id=claimed.id, delivered=True, started_at=NOW, duration_ms=12, status=200
    )
    return msgspec.structs.replace(plain, **changes)


def delivered(claimed: ClaimedDelivery, **changes: Any) -> Settled:
    return Settled(claimed, outcome(claimed, **changes), None)


def failed(claimed: ClaimedDelivery, next_due: datetime | None = None, **changes: Any) -> Settled:
    """Say that a try failed; without ``next_due`` it was the last one."""
    plain = {"delivered": False, "status": 503, **changes}
    due_ms = None if next_due is None else to_epoch_ms(next_due)
    return Settled(claimed, outcome(claimed, **plain), due_ms)


async def rows_in(connection: AsyncConnection, table: Table) -> int:
    count: int = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    return count


async def page_by_page(
    fetch: Callable[[Any], Awaitable[Sequence[Any]]],
    place_of: Callable[[Any], Any] = lambda each: each.id,
) -> list[Any]:
    """Return what all pages hold; ``fetch`` is given the place where the last one ended."""
    found: list[Any] = []
    for _ in range(20):
        page = await fetch(place_of(found[-1]) if found else None)
        if not page:
            return found
        found += page
    raise AssertionError("the pages never end")


def ids_of(found: Sequence[Any]) -> list[str]:
    return [each.id for each in found]
