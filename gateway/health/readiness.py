"""Whether each part works: the database, the key file, the engine, the queues, the plugins.

``/health/ready``, ``gateway check`` and ``gateway status`` show the reports, and so does the page
Plugins and health.
"""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.health.lines import Line, failing, healthy, red
from gateway.hooks import SLOW_TO_OPEN
from gateway.observability.fault_places import with_place
from gateway.runtime import Gateway
from gateway.sdk.records import HealthCheck, HealthReport
from gateway.storage.queue_table import QueueTable
from gateway.storage.stores.destinations import sinks_without_plugin

_log = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 32 * 1024 * 1024
"""With less free space on its disk, a SQLite database counts as full."""

# With due deliveries and a running engine, an attempt is made at least this often.
_STANDSTILL: Final = timedelta(minutes=5)
_NOT_KNOWN: Final = "not known while the database can't be used"
_NO_ATTEMPTS: Final = "no due delivery was attempted for five minutes; see the log"
_DEPTH: Final = "{due} due, {leased} in work, {dead} dead letters"
_DEPTH_AND_AGE: Final = "{due} due, the oldest for {age}, {leased} in work, {dead} dead letters"
_WORTH_SAYING: Final = timedelta(minutes=1)
_NOT_CLAIMED: Final = (
    "{due} due, {leased} in work, {dead} dead letters; no due item was claimed for five minutes; "
    "see the log"
)
_NO_ANSWER: Final = "did not answer within {seconds} seconds"
_FAILED_PLUGINS: Final = "failed to load: {names}; the log and gateway check say why"
_READ_ONLY: Final = "the database is read-only: it is a standby, or set read-only"
_DISK_FULL: Final = "the disk of the database is full: free some space"
_NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_UNWRITABLE: Final = (
    "the database can't be written ({kind}): check for locks and for faults of its disk"
)


class Readiness:
    """Checks every part of a gateway.

    ``advisory`` includes the checks that don't decide whether it is ready. With less than
    ``least_free_bytes`` free on its disk, a SQLite database counts as full.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        deadline_seconds: float = 5.0,
        least_free_bytes: int = LEAST_FREE_BYTES,
        advisory: bool = False,
    ) -> None:
        self._gateway = gateway
        self._deadline_seconds = deadline_seconds
        self._least_free_bytes = least_free_bytes
        self._advisory = advisory
        self._since = gateway.clock.now()
        self._logged: dict[str, str] = {}
        self._probe: asyncio.Task[HealthReport] | None = None

    async def reports(self) -> dict[str, HealthReport]:
        """Check every part; each has the same deadline."""
        checks = [
            HealthCheck("database", self._database),
            HealthCheck("key file", self._key_file),
            HealthCheck("engine", self._engine),
            HealthCheck("plugins", self._plugins),
            *(
                HealthCheck(f"queue:{queue.name}", partial(self._queue, queue))
                for queue in self._gateway.queues
            ),
            *(
                check
                for check in self._gateway.hooks.health_checks()
                if check.decides_readiness or self._advisory
            ),
        ]
        return await self._reports_of(checks)

    async def advisory_reports(self) -> dict[str, HealthReport]:
        """Run only the checks that don't decide whether the gateway is ready."""
        checks = self._gateway.hooks.health_checks()
        return await self._reports_of([each for each in checks if not each.decides_readiness])

    async def _reports_of(self, checks: Sequence[HealthCheck]) -> dict[str, HealthReport]:
        reports = await asyncio.gather(*(self._report(check) for check in checks))
        return {check.name: report for check, report in zip(checks, reports, strict=True)}

    async def _report(self, check: HealthCheck) -> HealthReport:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await check.check()
        except TimeoutError:
            return failing(_NO_ANSWER, seconds=f"{self._deadline_seconds:g}")
        except StorageError:  # the line of the database says why
            return failing(_NOT_KNOWN)
        except Exception as error:  # noqa: BLE001 - any exception of a check means: not healthy
            place = with_place(type(error).__name__, error, check.check)
            if self._logged.get(check.name) != place:  # once, not at each request
                self._logged[check.name] = place
                _log.warning("health check %s failed: %s", check.name, place)
            return failing("the check failed: {kind}", kind=type(error).__name__)

    async def _database(self) -> HealthReport:
        """Report whether the database can be read and written.

        Concurrent requests share one probe. The probe survives their timeouts, because it waits in
        the queue of writers like any other transaction.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._run_probe(), context=Context())
        return await asyncio.shield(self._probe)

    async def _run_probe(self) -> HealthReport:
        database = self._gateway.database
        try:
            await database.ping()
            if not await database.can_write():
                return failing(_READ_ONLY)
            if database.path is not None:
                free = await asyncio.to_thread(shutil.disk_usage, database.path.parent)
                if free.free < self._least_free_bytes:
                    return failing(_DISK_FULL)
        except StorageError as error:
            return HealthReport(healthy=False, detail=error.message)
        except (SQLAlchemyError, OSError) as error:
            return failing(_UNWRITABLE, kind=type(error).__name__)
        return healthy("{database} answers", database=_NAMES[database.dialect])

    async def _key_file(self) -> HealthReport:
        fault = await asyncio.to_thread(self._gateway.key_watch.fault)
        if fault is not None:
            return HealthReport(healthy=False, detail=fault, command="gateway seal write-back")
        return healthy("the key file is as in memory")

    async def _engine(self) -> HealthReport:
        gateway, now = self._gateway, self._gateway.clock.now()
        if gateway.engine is None:
            return healthy("no engine runs in this process")
        report = await gateway.engine.health(now)
        if not report.healthy:
            return report
        backlog = await gateway.backlog.read()
        quiet = now - (backlog.last_attempt_at or self._since)
        # A failed attempt counts: a faulty endpoint doesn't make the gateway unhealthy.
        if min(backlog.oldest_age, quiet, now - self._since) > _STANDSTILL:
            return failing(_NO_ATTEMPTS)
        return report

    async def _queue(self, queue: QueueTable) -> HealthReport:
        """Report a plugin's queue: failing when due items aren't claimed, not for dead letters."""
        backlog = await self._gateway.backlog.read()
        depth = backlog.work_queues[queue.name]
        counts = {"due": depth.due, "leased": depth.leased, "dead": depth.dead}
        claimable_since = max(depth.claimable_since or backlog.read_at, self._since)
        left_alone = backlog.read_at - claimable_since > _STANDSTILL
        # A remote agent that doesn't lease its jobs is not this process's fault.
        if left_alone and depth.leased == 0 and queue.held_by_process:
            return failing(_NOT_CLAIMED, None, **counts)
        age = backlog.read_at - (depth.claimable_since or backlog.read_at)
        if age >= _WORTH_SAYING:
            return healthy(_DEPTH_AND_AGE, age=age, **counts)
        return healthy(_DEPTH, **counts)

    async def _plugins(self) -> HealthReport:
        plugins = self._gateway.plugins
        failed = ", ".join(plugin.name for plugin in plugins if plugin.problem)
        if failed:  # the reason is in the log: a plugin's exception may contain anything
            return failing(_FAILED_PLUGINS, names=failed)
        enabled = sum(plugin.enabled for plugin in plugins)
        try:
            async with self._gateway.database.read() as connection:
                missing = await sinks_without_plugin(connection, self._gateway.hooks.sinks())
        except (SQLAlchemyError, StorageError):
            missing = []  # the check "database" says so
        # A plugin's backlog doesn't stop orders, so the load balancer should keep this process.
        if missing:
            more = "; ".join(missing)
            return healthy("{count} plugins loaded; {missing}", count=enabled, missing=more)
        return healthy("{count} plugins loaded", count=enabled)


def slow_plugins(gateway: Gateway) -> list[Line]:
    """Return a line for each plugin that was slow to open in this process."""
    slow = gateway.hooks.slow_to_open()
    return [
        red(f"plugin {name}", f"gateway plugins check {name}", SLOW_TO_OPEN, seconds=seconds)
        for name, seconds in slow.items()
    ]


async def readiness(gateway: Gateway) -> dict[str, HealthReport]:
    """Check every part once, with those that don't decide whether it is ready."""
    return await Readiness(gateway, advisory=True).reports()
