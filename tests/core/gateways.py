"""Whole gateways without HTTP, and what goes into them.

Nothing here knows pytest.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.clock import Clock
from gateway.hookspecs import hookimpl
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.delivery import Destination, Outcome
from gateway.model.event import Event, EventDraft
from gateway.model.ids import new_id
from gateway.model.order import Candidate, Order
from gateway.model.package import DeliveryUpdate
from gateway.model.submission import Idempotency, Submission
from gateway.runtime import Gateway
from gateway.sdk.records import Batch, Sink
from gateway.settings import parse_settings
from gateway.storage.stores.package_lists import PackageFilter
from gateway.testing.schema import lay_schema

LIVE = Caller(DEFAULT_ACCOUNT, "live", "key_1")
TEST = Caller(DEFAULT_ACCOUNT, "test", "key_2")
OTHER = Caller("other", "live", "key_3")
ORDER = Order(patient_name="Maria Rodriguez", patient_address="123 Main St, Miami, FL 33178")

TWO_SITES = """
[[sites]]
code = "main"
name = "Lakeside"
country = "CA"

[[sites]]
code = "north"
name = "Northside"
country = "US"
"""


@asynccontextmanager
async def opened(
    url: str,
    directory: Path,
    *,
    toml: str = "",
    clock: Clock | None = None,
    plugins: Sequence[object] = (),
    migrating: bool = False,
) -> AsyncIterator[Gateway]:
    """Open a gateway over the database at ``url``; plugins are named after their classes.

    A SQLite file that isn't there is a copy of a migrated one, unless it is the gateway that
    has to do the ``migrating``.
    """
    text = f'[database]\nurl = "{url}"\n{toml}'
    gateway = Gateway(parse_settings(text, source=None, directory=directory, environ={}), clock)
    for plugin in plugins:
        gateway.hooks.register(plugin, type(plugin).__name__)
    if not migrating:
        await lay_schema(gateway)
    async with gateway:
        yield gateway


def sqlite_url(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory / 'gateway.db'}"


def order(**changes: Any) -> Order:
    return msgspec.structs.replace(ORDER, **changes)


def submission(
    *orders: Order,
    caller: Caller = LIVE,
    source: str = "json_api",
    key: str | None = None,
    body: bytes = b"{}",
) -> Submission:
    """Hand ``orders`` in; ``key`` is an idempotency key, ``body`` what it came with."""
    idempotency = None if key is None else Idempotency(key, hashlib.sha256(body).digest())
    return Submission(caller, source, tuple(Candidate(each) for each in orders), idempotency)


async def package(gateway: Gateway, caller: Caller = LIVE, **changes: Any) -> str:
    """Make a package; returns its id."""
    answer = await gateway.intake.accept(submission(order(**changes), caller=caller))
    package_id = answer.results[0].package_id
    assert package_id is not None, answer
    return package_id


def update(package_id: str, event: str, **more: Any) -> DeliveryUpdate:
    return DeliveryUpdate(package_id=package_id, event=event, **more)


async def status(gateway: Gateway, package_id: str, caller: Caller = LIVE) -> str | None:
    async with gateway.database.read() as connection:
        found = await gateway.packages.get(connection, caller, package_id)
    return None if found is None else found.status


async def packages(gateway: Gateway, caller: Caller = LIVE) -> list[str]:
    """Return the ids of all packages of a caller, newest first."""
    async with gateway.database.read() as connection:
        found = await gateway.packages.page(connection, caller, PackageFilter(1000))
    return [each.id for each in found]


async def timeline(gateway: Gateway, subject: str, caller: Caller = LIVE) -> list[Event]:
    async with gateway.database.read() as connection:
        return await gateway.events.of_subject(connection, caller, subject)


def draft(gateway: Gateway, event_type: str = "delivery.completed", **changes: Any) -> EventDraft:
    now = gateway.clock.now()
    values: dict[str, Any] = {
        "id": new_id("evt", now),
        "type": event_type,
        "account_id": "default",
        "mode": "live",
        "subject": "pkg_1",
        "data": {"n": 1},
        "occurred_at": now,
        "actor": "test",
    }
    return EventDraft(**{**values, **changes})


async def deliveries(gateway: Gateway, caller: Caller = LIVE) -> list[tuple[str, str, str]]:
    """Return destination, event type and subject of each delivery, oldest first."""
    async with gateway.database.read() as connection:
        found = await gateway.delivery_log.page(connection, caller, limit=1000)
    return [(each.destination_id, each.event_type, each.subject) for each in found][::-1]


async def add_destination(gateway: Gateway, **changes: Any) -> str:
    """Subscribe somebody who wants everything; returns the destination's id."""
    now = gateway.clock.now()
    made = Destination(
        id=new_id("dst", now),
        account_id=DEFAULT_ACCOUNT,
        mode="live",
        sink="fake",
        name="Board",
        events=("*",),
        settings={},
        created_at=now,
    )
    made = msgspec.structs.replace(made, **changes)
    async with gateway.database.begin() as connection:
        await gateway.destinations.add(connection, made)
    return made.id


async def destination(gateway: Gateway, destination_id: str, caller: Caller = LIVE) -> Destination:
    async with gateway.database.read() as connection:
        found = await gateway.destinations.get(connection, caller, destination_id)
    assert found is not None
    return found


async def change_destination(gateway: Gateway, destination_id: str, **changes: Any) -> None:
    before = await destination(gateway, destination_id)
    async with gateway.database.begin() as connection:
        await gateway.destinations.change(connection, msgspec.structs.replace(before, **changes))


class NoSettings(msgspec.Struct, frozen=True):
    """A destination of the fake sink needs nothing."""


class Recorder:
    """A plugin with a sink that delivers everything at once and remembers it."""

    def __init__(self, kind: str = "fake", max_batch: int = 1) -> None:
        self.kind = kind
        self.max_batch = max_batch
        self.delivered: list[tuple[str, Event]] = []
        self.attempts: list[tuple[str, int]] = []

    @hookimpl
    def sinks(self) -> Sequence[Sink]:
        return [Sink(self.kind, NoSettings, self.deliver, self.max_batch)]

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        outcomes = []
        for each in batch.deliveries:
            self.attempts.append((each.event.id, each.attempt))
            self.delivered.append((batch.destination.id, each.event))
            outcomes.append(
                Outcome(
                    delivery_id=each.id,
                    delivered=True,
                    started_at=each.created_at,
                    duration_ms=1,
                    status=200,
                )
            )
        return outcomes

    def types_for(self, destination_id: str) -> list[str]:
        """Return the types of the events that went to one destination, in their order."""
        return [event.type for target, event in self.delivered if target == destination_id]
