"""The composition root: settings, plugins, storage, intake, delivery and an engine.

::

    async with Gateway(settings) as gateway:       # connected, schema up to date
        await gateway.intake.accept(submission)
        async with gateway.running():              # … and delivering
            ...

There is no module-level state: a test builds as many as it likes.
"""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import SQLAlchemyError

from gateway.attention import Attention
from gateway.auth.api_keys import Keys
from gateway.auth.emergencies import Emergencies, Records
from gateway.auth.identity import Ground, Identity, build_identity
from gateway.auth.plans import Plans
from gateway.auth.rate_limits import Limits
from gateway.auth.roles import Permissions
from gateway.clock import Clock, HeldClock, SystemClock
from gateway.delivery.cluster_jobs import ClusterJobs
from gateway.delivery.dispatcher import Dispatcher, DispatchRules
from gateway.delivery.engine import SWEEP_SECONDS, LocalEngine
from gateway.delivery.exhaustion import ExpiryJob
from gateway.delivery.file_links import with_file_links
from gateway.delivery.hand_over import HandOver
from gateway.delivery.publisher import Publisher
from gateway.delivery.recovery import RecoveryRunner
from gateway.errors import StorageError
from gateway.hook_calls import print_trace
from gateway.hooks import Hooks
from gateway.intake.amendments import Amendments
from gateway.intake.audit_reports import AuditReports
from gateway.intake.bag_labels import BagLabels
from gateway.intake.bulk import BulkChanges
from gateway.intake.days import Days
from gateway.intake.files import FileIntake
from gateway.intake.histories import Histories
from gateway.intake.manifests import Manifests
from gateway.intake.orders import Intake
from gateway.intake.prints import Prints
from gateway.intake.sites import SiteDirectory, configured_sites
from gateway.intake.updates import UpdateIntake
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.catalog import core_event_types
from gateway.model.event import EventType
from gateway.model.masking import PATIENT_FIELDS
from gateway.model.place_rules import Places
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, open_tracing
from gateway.plugin_loader import load_plugins
from gateway.sdk.records import Job
from gateway.settings import RedisTable, Settings
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.key_binding import KeyBinder, bind_at_start
from gateway.storage.crypto.key_watch import KeyWatch
from gateway.storage.crypto.keyring import Keyring, load, load_or_create
from gateway.storage.database import Database
from gateway.storage.file_watch import was_left_open
from gateway.storage.files.links import FileLinks
from gateway.storage.files.store import FileStore
from gateway.storage.maintenance.clear_filler import ClearFiller
from gateway.storage.maintenance.lost import refuse_lost_database
from gateway.storage.maintenance.migrate import (
    Migrated,
    migrate,
    refuse_missing_columns,
    refuse_pending,
)
from gateway.storage.maintenance.pooler import refuse_lost_statements
from gateway.storage.outage import cause_of
from gateway.storage.plugin_tables import queue_waits
from gateway.storage.queue_table import QueueTable, take_back
from gateway.storage.retention.policy import Housekeeper
from gateway.storage.stores import installation, job_runs
from gateway.storage.stores.access_reports import PatientReports
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.audit_head import FILE_NAME, HeadKeeper
from gateway.storage.stores.backlog import BacklogReader
from gateway.storage.stores.changes import sweep_changes
from gateway.storage.stores.delivery_log import DeliveryLog
from gateway.storage.stores.destinations import DestinationStore, sinks_without_plugin
from gateway.storage.stores.disclosures import DisclosureLedger
from gateway.storage.stores.emergencies import EmergencyStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.inbox_items import INBOX
from gateway.storage.stores.outbox import Outbox
from gateway.storage.stores.packages import PackageStore
from gateway.storage.stores.saved_views import SavedViewStore

if TYPE_CHECKING:  # imported only with Redis: most gateways have none
    from gateway.delivery.redis_engine import WakingEngine
    from gateway.observability.metrics_sharing import SharedMetrics

_log = logging.getLogger(__name__)


class Gateway:
    """All the parts, wired. Construction has no side effects; ``async with`` opens it.

    Opening refuses to create a database beside an existing master key, because its database was
    lost or is elsewhere. ``replaces_database`` allows an empty one; with ``only_reads`` a database
    is neither created nor brought up to date.
    """

    database: Database
    sealer: Sealer
    key_watch: KeyWatch
    accounts: AccountStore
    packages: PackageStore
    saved_views: SavedViewStore
    events: EventStore
    destinations: DestinationStore
    outbox: Outbox
    delivery_log: DeliveryLog
    publisher: Publisher
    intake: Intake
    tracking: UpdateIntake
    amendments: Amendments
    bulk: BulkChanges
    manifests: Manifests
    bag_labels: BagLabels
    audit_reports: AuditReports
    histories: Histories
    days: Days
    files: FileIntake
    keys: Keys
    identity: Identity
    emergencies: Emergencies
    limits: Limits
    audit: AuditTrail
    audit_head: HeadKeeper
    disclosures: DisclosureLedger
    reports: PatientReports
    recovery: RecoveryRunner
    housekeeper: Housekeeper
    filler: ClearFiller
    expiry: ExpiryJob
    cluster_jobs: ClusterJobs
    dispatcher: Dispatcher
    backlog: BacklogReader
    attention: Attention
    queues: list[QueueTable]
    migrated: Migrated
    _shown: Mapping[str, Collection[str]]
    _lifespan: AbstractAsyncContextManager[None]

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        replaces_database: bool = False,
        only_reads: bool = False,
    ) -> None:
        self.settings = settings
        self._only_reads = only_reads
        self._replaces_database = replaces_database
        self.clock = HeldClock(clock or SystemClock())
        self.metrics = Metrics()
        self.hooks = Hooks(trace=print_trace if settings.trace_plugins else None)
        self.stopping = asyncio.Event()
        self.metrics.plugin_failures.read = self.hooks.failure_counts
        self.plans = Plans(settings.plans, settings.accounts, self.clock)
        self.sites = SiteDirectory(configured_sites(settings))
        self.engine: LocalEngine | WakingEngine | None = None
        self.shared_metrics: SharedMetrics | None = None
        self.tracing: Tracing | None = None
        self.plugins = load_plugins(settings, self, self.hooks)
        self.permissions = Permissions()
        self.places = Places(())

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Explain, for a part of an open gateway, that the gateway isn't open."""
            if name in type(self).__annotations__:
                raise AttributeError(
                    f"gateway.{name} is not open yet: use it in lifespan, or in the function of "
                    "a record that a hook returns"
                )
            import difflib  # for a wrong name only

            nearest = difflib.get_close_matches(name, dir(self), 1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise AttributeError(f"the gateway has no {name}{hint}")

    def catalog(self) -> list[EventType]:
        """Return all event types: the core's, then the plugins'."""
        return [*core_event_types(), *self.hooks.event_types()]

    def shown_of(self, event_type: str) -> Collection[str]:
        """Return the names of an event's data that its type shows to every caller."""
        return self._shown.get(event_type, ())

    def extensions(self, point: str) -> list[object]:
        """Return all plugins' records for the extension point ``point``."""
        return self.hooks.extensions(point)

    def work_queues(self) -> list[QueueTable]:
        """Return the work queues: the inboxes of the plugins that are enabled, then their own."""
        enabled = tuple(each.name for each in self.plugins if each.enabled and not each.problem)
        return [
            dataclasses.replace(INBOX, only=enabled),
            *(queue for each in self.hooks.tables() for queue in each.queues),
        ]

    def wake(self, destination_ids: Collection[str]) -> None:
        """Wake the engine, if one runs in this process, for destinations with due deliveries."""
        if self.engine is not None:
            self.engine.wake(destination_ids)

    async def destinations_changed(self) -> None:
        """Wait until no process starts an attempt with a destination's state before a commit."""
        await self.dispatcher.change_settles()

    @property
    def master_key_path(self) -> Path:
        """The file of the master key, unless a setting holds the key."""
        return self.settings.gateway.data_dir / "master.key"

    @property
    def _key_file(self) -> Path | None:
        return self.master_key_path if self.settings.security.master_key is None else None

    async def __aenter__(self) -> Self:
        """Connect, bring the schema up to date, read the master key, wire the parts."""
        self.permissions = Permissions(self.hooks.permissions())  # a fault here stops the start
        self.places = Places(configured_sites(self.settings), self.hooks.places())
        self.database = Database(self.settings.database.url)
        path = self.database.path
        self._left_open = path is not None and was_left_open(path)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(self.database.close)
            await self._prepare_storage()
            self._wire()
            self._lifespan = self.hooks.lifespan()
            await self._lifespan.__aenter__()
            on_failure.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the plugins' resources, finish pending writes, then disconnect."""
        await self._lifespan.__aexit__(None, None, None)
        await self.intake.drained()
        await self.tracking.drained()
        await self.keys.drained()
        await asyncio.to_thread(self.files.close)
        await self.audit.drained()
        await self.dispatcher.drained()
        await self._keep_head()
        await self.limits.close()
        await self.identity.close()
        await self.database.close()

    async def _keep_head(self) -> None:
        """Store the head of the audit trail if this process added rows."""
        if not self.audit.has_written:
            return
        try:
            await self.audit_head.keep()
        except (SQLAlchemyError, OSError, StorageError) as error:
            _log.warning("the head of the audit trail was not kept: %s", type(error).__name__)

    @asynccontextmanager
    async def running(
        self, *, worker_threads: int = 0, sweep_seconds: float = SWEEP_SECONDS
    ) -> AsyncIterator[None]:
        """Deliver and run jobs until the block ends; finishes the attempts in flight.

        With Redis and PostgreSQL a serving process only wakes the workers; in a worker
        ``worker_threads`` threads listen for wake-ups. A SQLite file is served by one process,
        which delivers itself. Each ``sweep_seconds`` the engine looks for due deliveries that it
        wasn't woken for.
        """
        self.stopping.clear()
        engine = self._engine(worker_threads, sweep_seconds)
        self.tracing = self.dispatcher.tracing = open_tracing(self.settings.tracing)
        if self._left_open:
            _log.warning("the database was left open by a process that was killed: checking it")
            await self.database.quick_check()
        await take_back(self.database, self.queues, self.clock.now())
        await job_runs.take_back(self.database)
        async with self.database.read() as connection:
            for sentence in await sinks_without_plugin(connection, self.hooks.sinks()):
                _log.warning("%s", sentence)
        await engine.start()
        self.engine = engine
        if isinstance(engine, LocalEngine) and self._shared_redis is None:
            self.dispatcher.hand_over.sender = engine
        try:
            async with (
                self.key_watch.answering(),
                self._sharing() as self.shared_metrics,
            ):
                yield
        finally:
            self.engine = self.shared_metrics = self.dispatcher.hand_over.sender = None
            await engine.stop()
            if self.tracing is not None:
                await self.tracing.close()
                self.tracing = self.dispatcher.tracing = None

    def _sharing(self) -> "AbstractAsyncContextManager[SharedMetrics | None]":
        """Share this process's metrics while the block runs, where there is a Redis."""
        if self._shared_redis is None:
            return nullcontext()
        from gateway.observability.metrics_sharing import sharing

        return sharing(self._shared_redis, self.metrics)

    def _engine(self, worker_threads: int, sweep_seconds: float) -> "LocalEngine | WakingEngine":
        redis = self._shared_redis
        if redis is None:
            return LocalEngine(
                self.dispatcher,
                self._jobs(),
                self.clock,
                metrics=self.metrics,
                sweep_seconds=sweep_seconds,
            )
        from gateway.delivery.redis_engine import WakingEngine, WorkerEngine

        if worker_threads == 0:
            return WakingEngine(redis.url)
        return WorkerEngine(
            self.dispatcher,
            self._jobs(),
            self.clock,
            redis.url,
            worker_threads,
            metrics=self.metrics,
            sweep_seconds=sweep_seconds,
        )

    def _jobs(self) -> list[Job]:
        """Return the periodic jobs: the core's, then the plugins'."""
        return [
            Job("recoveries", self.recovery.step, every_seconds=1.0),
            Job("expiry", self.expiry.run, every_seconds=60.0),
            Job("clear columns", self.filler.run, every_seconds=60.0),
            Job("disclosures", self.disclosures.close, every_seconds=60.0),
            Job("audit head", self.audit_head.keep, every_seconds=60.0),
            Job("changes", self._sweep_changes, every_seconds=600.0),
            Job("sessions", self.identity.sessions.sweep, every_seconds=600.0),
            Job("retention", self.housekeeper.run, every_seconds=3600.0),
            Job("disclosure expiry", self.disclosures.expire, every_seconds=3600.0),
            *(
                self.cluster_jobs.shared(job) if job.once_per_cluster else job
                for job in self.hooks.jobs()
            ),
        ]

    async def _sweep_changes(self) -> None:
        await sweep_changes(self.database, self.clock.now())

    @property
    def _shared_redis(self) -> RedisTable | None:
        """The Redis that several processes share; None with SQLite, which has one process."""
        return self.settings.redis if self.database.dialect == "postgresql" else None

    async def _prepare_storage(self) -> None:
        backups = self.settings.gateway.data_dir / "backups"
        self.accounts = AccountStore()
        owners = {DEFAULT_ACCOUNT, *(site.account for site in self.settings.sites)}
        try:
            await refuse_lost_statements(self.database)
            if not self._replaces_database:
                await refuse_lost_database(self.database, self._key_file)
            if self._only_reads:
                self.migrated = Migrated((), None)
                await refuse_pending(self.database, self.hooks.tables())
            else:
                self.migrated = await migrate(
                    self.database, self.hooks.tables(), backups, self.clock.now()
                )
            await refuse_missing_columns(self.database, self.hooks.tables())
            async with self.database.begin() as connection:
                keyring = await asyncio.to_thread(
                    self._read_keyring, known=await installation.has_keyring(connection)
                )
                await installation.claim_keyring(connection, keyring)
                for account_id in sorted(owners):
                    await self.accounts.ensure(connection, account_id, self.clock.now())
                await self.accounts.replace_sites(connection, configured_sites(self.settings))
                await bind_at_start(
                    connection, self.accounts, KeyBinder(keyring), self.settings.gateway.data_dir
                )
        except (SQLAlchemyError, OSError) as error:
            raise StorageError(f"The database can't be opened: {cause_of(error)}.") from error
        self.key_watch = KeyWatch(self._key_file, keyring)
        self.sealer = Sealer(keyring, lambda: self._read_keyring(known=True))
        self.audit = AuditTrail(self.database, self.sealer, self.clock, metrics=self.metrics)
        async with self.database.begin() as connection:
            await self.audit.begin_keyed(connection, self.clock.now())
        self.keys = Keys(
            self.database,
            self.accounts,
            self.audit,
            self.clock,
            KeyBinder(keyring),
            self.permissions,
            metrics=self.metrics,
        )

    def _read_keyring(self, *, known: bool) -> Keyring:
        """Read the master key; create one only for a database that was never sealed."""
        if self.settings.security.master_key is not None:
            return Keyring.parse(self.settings.security.master_key)
        if known:
            return load(self.master_key_path)
        return load_or_create(self.master_key_path)

    def _wire(self) -> None:
        settings, sealer, tables = self.settings, self.sealer, self.hooks.tables()
        # Called now, so that a fault in a plugin stops the start.
        self._shown = {each.type: frozenset(each.shown) - PATIENT_FIELDS for each in self.catalog()}
        self.hooks.health_checks()
        self.queues = self.work_queues()
        self.packages = PackageStore(sealer)
        self.saved_views = SavedViewStore(sealer)
        self.filler = ClearFiller(self.database, sealer, self.clock)
        self.events = EventStore(sealer)
        self.destinations = DestinationStore(sealer)
        self.outbox = Outbox(sealer, self.events)
        self.delivery_log = DeliveryLog(sealer)
        self.identity = build_identity(
            settings,
            Ground(self.database, sealer, self.audit, self.clock),
            self.permissions,
            self.sites.known,
            self.plans,
        )
        self.emergencies = Emergencies(
            Records(self.database, EmergencyStore(sealer), self.packages, self.audit, self.clock)
        )
        self.reports = PatientReports(self.packages, self.events)
        self.audit_reports = AuditReports(
            self.database,
            sealer,
            self.audit,
            self.reports,
            self.sites,
            settings.gateway.data_dir / FILE_NAME,
        )
        self.disclosures = DisclosureLedger(
            self.database, sealer, self.events, self.clock, settings.audit.disclosures_years
        )
        self.audit_head = HeadKeeper(
            self.database, settings.gateway.data_dir / FILE_NAME, self.clock
        )
        self.housekeeper = Housekeeper(
            self.database,
            sealer,
            settings.retention,
            self.audit,
            self.clock,
            tables=tables,
            proof_ages=self.places.proof_ages,
        )
        public_url = settings.gateway.public_url
        links = FileLinks(sealer, public_url, settings.files.link_days)
        file_store = FileStore(sealer)
        self.files = FileIntake(
            self.database,
            file_store,
            self.packages,
            self.audit,
            links,
            self.clock,
            public_url=public_url,
            folder=settings.gateway.data_dir,
        )
        rules = DispatchRules.of(settings.delivery)
        sinks = with_file_links(self.hooks.sinks(), links)
        self.expiry = ExpiryJob(self.database, rules, sinks, self.clock)
        self.cluster_jobs = ClusterJobs(self.database, self.clock)
        self.limits = Limits(settings.limits, settings.redis, self.clock)
        self.audit.admit_reveals = partial(self.limits.take, "reveals")
        hand_over = HandOver(self.destinations, self.outbox, sinks, rules.lease_seconds, self.clock)
        self.publisher = Publisher(
            self.database,
            self.clock,
            self.events,
            self.destinations,
            self.outbox,
            self.hooks,
            self.wake,
            hand_over=hand_over,
            metrics=self.metrics,
        )
        self.intake = Intake(
            self.database,
            self.packages,
            self.publisher,
            self.hooks,
            self.sites,
            self.clock,
            plans=self.plans,
            metrics=self.metrics,
        )
        self.tracking = UpdateIntake(
            self.database,
            self.packages,
            self.events,
            file_store,
            self.publisher,
            self.filler,
            self.places,
            self.clock,
            metrics=self.metrics,
        )
        self.amendments = Amendments(
            self.database,
            self.packages,
            self.publisher,
            self.hooks,
            self.sites,
            self.filler,
            self.audit,
            self.clock,
        )
        self.bulk = BulkChanges(self.database, self.packages, self.tracking, self.amendments)
        prints = Prints(self.database, self.packages, self.audit)
        self.manifests = Manifests(self.database, self.packages, prints)
        self.bag_labels = BagLabels(prints, self.sites)
        self.histories = Histories(
            self.database, self.packages, self.events, file_store, self.reports, self.audit
        )
        self.days = Days(self.database, self.sites, self.clock)
        self.recovery = RecoveryRunner(
            self.database,
            self.events,
            self.destinations,
            self.outbox,
            self.delivery_log,
            self.hooks,
            self.clock,
            self.wake,
        )
        self.attention = Attention(
            settings,
            self.database,
            self.destinations,
            self.delivery_log,
            self.hooks,
            self.clock,
        )
        self.backlog = BacklogReader(self.database, self.clock, sinks, self.queues)
        self.dispatcher = Dispatcher(
            self.database,
            self.destinations,
            self.outbox,
            self.publisher,
            sinks,
            rules,
            self.clock,
            hand_over=hand_over,
            waits=[*queue_waits(INBOX), *(w for each in tables for w in each.all_due_columns)],
            metrics=self.metrics,
        )
