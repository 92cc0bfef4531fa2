"""The gateway as plugins see it: the object passed to a plugin's ``__init__``.

Services are small Protocols, so that a plugin's own tests can replace them; ``database``,
``sealer``, ``settings`` and the stores are the real classes.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.bag import BagChange
from gateway.model.delivery import Destination
from gateway.model.event import EventDraft, EventType, Published
from gateway.model.file import FileOwner, KeptFile, StoredFile
from gateway.model.order import Order
from gateway.model.package import DeliveryUpdate
from gateway.model.printed import ManifestRow
from gateway.model.recovery import Recovery, Rehearsal
from gateway.model.submission import (
    AmendmentResult,
    ErasureResult,
    IntakeResult,
    Submission,
    UpdateResult,
)
from gateway.sdk.records import AttentionItem
from gateway.settings import Settings
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.files.spool import NewFile
from gateway.storage.files.store import FileFilter, FilePart
from gateway.storage.stores.delivery_log import DeliveryLog
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.outbox import Outbox
from gateway.storage.stores.packages import PackageStore


class OrderIntake(Protocol):
    """Accepts orders from every source plugin."""

    async def accept(self, submission: Submission) -> IntakeResult:
        """Store a submission; returns after the commit. Each order is accepted or refused alone.

        Raises ``Conflict`` while the first request with the same idempotency key is
        still running, ``IdempotencyKeyReused`` when it came with another body.
        """
        ...

    async def rehearse(self, submission: Submission) -> IntakeResult:
        """Check a submission as ``accept`` would, without storing it.

        An order that would be stored is reported as ``created``, without a package id.
        """
        ...


class UpdateIntake(Protocol):
    """Accepts delivery updates of packages."""

    async def apply(self, caller: Caller, update: DeliveryUpdate) -> UpdateResult:
        """Apply one update; returns after the commit.

        Raises ``InvalidInput``, ``NotFound`` or ``Conflict``.
        """
        ...


class PackageAmendments(Protocol):
    """Changes the order a package carries, or erases it."""

    async def amend(self, caller: Caller, package_id: str, order: Order) -> AmendmentResult:
        """Replace the order of a package; site and ``external_order_id`` stay.

        Raises ``InvalidInput``, ``NotFound``, and ``Conflict`` once it was picked up.
        """
        ...

    async def correct(
        self, caller: Caller, package_id: str, changes: Mapping[str, Any]
    ) -> AmendmentResult:
        """Replace fields of a package's order, by name; the others stay.

        Raises ``InvalidInput``, ``NotFound``, and ``Conflict`` once it was picked up.
        """
        ...

    async def change_bag(
        self, caller: Caller, package_id: str, change: BagChange
    ) -> AmendmentResult:
        """Cancel prescriptions of a package's bag, and mark whether it needs a person.

        Raises ``InvalidInput``, ``NotFound``, and ``Conflict`` once it was picked up or when no
        prescription would be left.
        """
        ...

    async def erase(self, caller: Caller, package_ids: Collection[str]) -> ErasureResult:
        """Erase the patient data of finished packages, at the patient's request."""
        ...


class FileKeeper(Protocol):
    """Keeps files: photos, signatures, labels, pages of a fax.

    :func:`keep_upload` and :func:`file_response` take and return them over HTTP.
    """

    folder: Path

    def need_extra(self) -> None:
        """Raise ``MissingExtra`` (501) unless the libraries that clean files are installed."""
        ...

    async def keep(
        self, caller: Caller, owner: FileOwner, new: NewFile, key: str | None = None
    ) -> KeptFile:
        """Clean and store a file; returns after the commit."""
        ...

    async def page(self, caller: Caller, wanted: FileFilter) -> Sequence[StoredFile]:
        """Return files, newest first, without their content."""
        ...

    async def open(
        self, file: StoredFile, reader: Caller | str, part: FilePart = "content"
    ) -> AsyncIterator[bytes]:
        """Return a file's bytes, piece by piece; the view is audited before this returns."""
        ...

    async def erase(
        self, connection: AsyncConnection, subjects: Collection[tuple[str, str]]
    ) -> int:
        """Delete the files of each ``(account id, subject)`` in your own transaction."""
        ...

    def url(self, file_id: str) -> str:
        """Return the address of a file for a caller with a key."""
        ...


class EventPublisher(Protocol):
    """Records events and fans them out to destinations."""

    async def publish(self, drafts: Sequence[EventDraft]) -> Published:
        """Record ``drafts`` in a transaction of their own, and wake the engine."""
        ...

    async def record(
        self, connection: AsyncConnection, drafts: Sequence[EventDraft], now: datetime
    ) -> Published:
        """Record ``drafts`` in your own transaction, together with the change they report.

        Pass the result to :meth:`announce` once that transaction has committed.
        """
        ...

    def announce(self, published: Published) -> None:
        """Wake the engine and notify plugins; after the commit, never before."""
        ...


class RequestLimiter(Protocol):
    """Enforces the request limits of API keys."""

    async def take(
        self,
        policy: Literal["orders", "orders_per_hour", "updates", "reads", "labels"],
        actor: str,
        cost: int = 1,
    ) -> None:
        """Count ``cost``; raises ``RateLimited`` past the limit."""
        ...


class KeyLookup(Protocol):
    """Looks up API keys."""

    async def still_valid(self, caller: Caller) -> bool:
        """Return whether the caller's key has not been revoked since the request began.

        A waiting route (``opt={"waits": True}``) checks it before it returns data.
        """
        ...


class PlanDoor(Protocol):
    """Checks the account's plan: its features and its limits."""

    def need(self, account_id: str, feature: str) -> None:
        """Raise ``NotOnPlan`` (403) when the plan doesn't include ``feature``.

        The core calls this for each changing route of a plugin, with the plugin's name; a route
        whose ``opt`` has ``"feature": None`` is in every plan.
        """
        ...

    async def take(
        self,
        connection: AsyncConnection,
        account_id: str,
        limit_name: Literal["packages_per_month", "endpoints", "people"],
    ) -> None:
        """Take one place of a limit in your transaction, before the insert.

        Raises ``PlanLimitReached`` (402) when there is none left.
        """
        ...


class AccountLookup(Protocol):
    """Looks up accounts: those of the sites in gateway.toml, and those that own a key."""

    async def exists(self, connection: AsyncConnection, account_id: str) -> bool:
        """Return whether the account exists."""
        ...

    async def ids(self, connection: AsyncConnection) -> Sequence[str]:
        """Return the ids of all accounts, sorted, for jobs that work for each of them."""
        ...

    async def names(
        self, connection: AsyncConnection, caller: Caller, actors: Collection[str]
    ) -> Mapping[str, str]:
        """Return the names of the people and keys of the caller's account, by id."""
        ...


class SiteLookup(Protocol):
    """Looks up the sites of gateway.toml."""

    def known(self, account_id: str, code: str) -> bool:
        """Return whether the account has a site with this code."""
        ...

    def zone(self, account_id: str, code: str | None) -> ZoneInfo:
        """Return the time zone of a site; without a site, of the account's first, else UTC."""
        ...

    def resolve(self, caller: Caller, wanted: str | None) -> tuple[str | None, tuple[Problem, ...]]:
        """Return the code of the site, or the problems that prevent choosing one.

        In this order: ``wanted``, the key's own site, the account's only site.
        """
        ...


class PlaceLookup(Protocol):
    """Checks deliveries by the rules of a site's place."""

    def broken(
        self, account_id: str, site: str | None, order: Order, update: DeliveryUpdate
    ) -> Sequence[str]:
        """Return the rules that a completion at a site broke, in sentences."""
        ...


class ManifestMaker(Protocol):
    """Makes drivers' manifests; each package on one is audited as a print."""

    async def with_drivers(
        self, caller: Caller, site: str | None = None, driver_id: str | None = None
    ) -> Sequence[ManifestRow]:
        """Return the packages that drivers have now, or one of them, by driver and address.

        Raises ``Forbidden`` for a caller who may not see contact data, ``Conflict`` for more than
        2,000 packages.
        """
        ...


class RecoveryService(Protocol):
    """Sends again the events that a destination missed, a few at a time."""

    async def start(
        self, destination: Destination, since: datetime, until: datetime | None
    ) -> Recovery:
        """Start a recovery; returns at once. Raises ``Conflict`` or ``InvalidInput``."""
        ...

    async def rehearse(
        self, destination: Destination, since: datetime, until: datetime | None, *, most: int
    ) -> Rehearsal:
        """Count the events that a recovery would send, among the first ``most``; starts none."""
        ...

    async def get(self, account_id: str, recovery_id: str) -> Recovery | None:
        """Return the progress of a recovery."""
        ...


class AuditRecorder(Protocol):
    """Appends to the audit trail."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries; returns after the commit."""
        ...

    async def record(
        self, connection: AsyncConnection, entries: Sequence[AuditEntry], at: datetime
    ) -> None:
        """Append entries in your own transaction, together with the change itself."""
        ...


class PluginCounter(Protocol):
    """A counter of the metrics page, for each set of label values."""

    def inc(self, labels: tuple[str, ...], amount: int = 1) -> None:
        """Add ``amount``; 0 creates the series, so that its first increase is visible.

        Label values are ids and fixed words, never anything from a request.
        """
        ...


class PluginMetrics(Protocol):
    """Makes metrics of a plugin's own; on the event loop's thread only."""

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> PluginCounter:
        """Return the counter ``gateway_<plugin>_<what>``; ``/metrics`` adds ``_total``.

        The same name again is the same counter. Raises ``PluginError`` for another name.
        """
        ...


class AttentionList(Protocol):
    """Lists what needs a person."""

    async def of(self, caller: Caller) -> list[AttentionItem]:
        """Return the items that ``caller`` may see, with those of all plugins."""
        ...


class Gateway(Protocol):
    """The gateway as a plugin sees it; passed to its ``__init__`` and opened later.

    ``settings``, ``clock``, ``catalog()``, ``sites`` and ``metrics`` work at once; the rest works
    when a hook's record is called: while plugins are constructed, the gateway isn't connected.
    """

    settings: Settings
    clock: Clock
    stopping: asyncio.Event
    """Set when the server shuts down, so that long polls and streams answer and end."""
    sites: SiteLookup
    places: PlaceLookup
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
    manifests: ManifestMaker
    files: FileKeeper
    publisher: EventPublisher
    limits: RequestLimiter
    plans: PlanDoor
    keys: KeyLookup
    recovery: RecoveryService
    audit: AuditRecorder
    attention: AttentionList
    metrics: PluginMetrics

    def catalog(self) -> Sequence[EventType]:
        """Return every event type, the core's and the plugins'."""
        ...

    def shown_of(self, event_type: str) -> Collection[str]:
        """Return the names of an event's data that its type shows to every caller."""
        ...

    def extensions(self, point: str) -> Sequence[object]:
        """Return the records of all plugins for the extension point ``point``.

        The plugin that owns the point documents and checks the records' type. Raises
        ``PluginError`` when a plugin's ``extensions`` hook fails.
        """
        ...

    def wake(self, destination_ids: Sequence[str]) -> None:
        """Wake the engine: these destinations have due deliveries."""
        ...

    async def destinations_changed(self) -> None:
        """Wait until no process starts an attempt with a destination's earlier state.

        Call it after the commit that changed or removed a destination, before the response. It
        takes an eighth of a second, and longer on a database that answers slowly.
        """
        ...
