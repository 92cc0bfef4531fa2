"""What the gateway offers a plugin: the object that is handed to its ``__init__``.

Each part is a small Protocol, so that a plugin's own tests may put something in its place.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.delivery import Destination
from gateway.model.event import EventDraft, EventType, Published
from gateway.model.order import Order
from gateway.model.package import DeliveryUpdate
from gateway.model.recovery import Recovery
from gateway.model.submission import (
    AmendmentResult,
    ErasureResult,
    IntakeResult,
    Submission,
    UpdateResult,
)
from gateway.settings import Settings
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.stores.audit import AuditEntry
from gateway.storage.stores.delivery_log import DeliveryLog
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.outbox import Outbox
from gateway.storage.stores.packages import PackageStore


class OrderIntake(Protocol):
    """Intake: orders go in here, whichever plugin they came through."""

    async def accept(self, submission: Submission) -> IntakeResult:
        """Take a submission in; answers after the commit. Each order is judged alone.

        Raises ``Conflict`` while the first request with the same idempotency key is
        still running, ``IdempotencyKeyReused`` when it came with another body.
        """
        ...

    async def rehearse(self, submission: Submission) -> IntakeResult:
        """Judge a submission as ``accept`` would, and keep nothing.

        An order that would be kept is answered as ``created``, without a package id.
        """
        ...


class UpdateIntake(Protocol):
    """Tracking: what happened to a package on its way goes in here."""

    async def apply(self, caller: Caller, update: DeliveryUpdate) -> UpdateResult:
        """Apply one update; answers after the commit.

        Raises ``InvalidInput``, ``NotFound`` or ``Conflict``.
        """
        ...


class PackageAmendments(Protocol):
    """Amending: what a package carries is changed, or emptied, here."""

    async def amend(self, caller: Caller, package_id: str, order: Order) -> AmendmentResult:
        """Let a package carry ``order`` from now on; site and ``external_order_id`` stay.

        Raises ``InvalidInput``, ``NotFound``, and ``Conflict`` once it was picked up.
        """
        ...

    async def erase(self, caller: Caller, package_ids: Collection[str]) -> ErasureResult:
        """Empty what is over of these packages, because somebody asked to be forgotten."""
        ...


class EventPublisher(Protocol):
    """Publishing: events are recorded and fanned out here."""

    async def publish(self, drafts: Sequence[EventDraft]) -> Published:
        """Record ``drafts`` in a transaction of their own, and wake the engine."""
        ...

    async def record(
        self, connection: AsyncConnection, drafts: Sequence[EventDraft], now: datetime
    ) -> Published:
        """Record ``drafts`` in your own transaction, beside the change that they tell of.

        Hand what it returns to :meth:`announce` when that transaction has committed.
        """
        ...

    def announce(self, published: Published) -> None:
        """Wake the engine and tell the plugins; after the commit, never before."""
        ...


class RequestLimiter(Protocol):
    """Counts what a key does against what it may."""

    async def take(
        self,
        policy: Literal["orders", "orders_per_hour", "updates", "reads"],
        actor: str,
        cost: int = 1,
    ) -> None:
        """Count ``cost``; raises ``RateLimited`` past the limit."""
        ...


class AccountLookup(Protocol):
    """The accounts: those of gateway.toml's sites, and those that a key was made for."""

    async def exists(self, connection: AsyncConnection, account_id: str) -> bool:
        """Say whether there is such an account."""
        ...


class SiteLookup(Protocol):
    """The sites of gateway.toml."""

    def known(self, account_id: str, code: str) -> bool:
        """Say whether the account has a site of this code."""
        ...

    def resolve(self, caller: Caller, wanted: str | None) -> tuple[str | None, tuple[Problem, ...]]:
        """Return the code of the site meant, or why it can't be told.

        In this order: what was named, the key's own site, the account's only site.
        """
        ...


class RecoveryService(Protocol):
    """Recovery: what a destination missed is sent again, a few at a time."""

    async def start(
        self, destination: Destination, since: datetime, until: datetime | None
    ) -> Recovery:
        """Begin; returns at once. Raises ``Conflict`` or ``InvalidInput``."""
        ...

    async def get(self, account_id: str, recovery_id: str) -> Recovery | None:
        """Return how far one has got."""
        ...


class AuditRecorder(Protocol):
    """The audit trail."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Write down who did or saw what; returns after the commit."""
        ...

    async def record(
        self, connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime
    ) -> None:
        """Write it down in your own transaction, beside the change itself."""
        ...


class Gateway(Protocol):
    """What the gateway offers a plugin; handed to its ``__init__`` and open later.

    ``settings``, ``clock``, ``catalog()`` and ``sites`` can be used at once; all else once
    a hook's record is called: nothing is connected while plugins are built.
    """

    settings: Settings
    clock: Clock
    stopping: asyncio.Event
    """Set when the server is asked to end: whoever waits for news is to be answered."""
    sites: SiteLookup
    database: Database
    sealer: Sealer
    accounts: AccountLookup
    packages: PackageStore
    events: EventStore
    destinations: DestinationStore
    outbox: Outbox
    delivery_log: DeliveryLog
    intake: OrderIntake
    tracking: UpdateIntake
    amendments: PackageAmendments
    publisher: EventPublisher
    limits: RequestLimiter
    recovery: RecoveryService
    audit: AuditRecorder

    def catalog(self) -> Sequence[EventType]:
        """Return every event type there is, the core's and the plugins'."""
        ...

    def extensions(self, point: str) -> Sequence[object]:
        """Return what all plugins bring to ``point``, a place that a plugin left open.

        The records are of the type that the plugin which asks has documented; it checks
        them. Raises ``PluginError`` when a plugin fails to say what it brings.
        """
        ...

    def wake(self, destination_ids: Sequence[str]) -> None:
        """Tell the engine that these destinations have something due."""
        ...
