"""``/health/live`` and ``/health/ready``, for people, load balancers and containers."""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.observability.fault_places import with_place
from gateway.runtime import Gateway
from gateway.sdk.http import json_response
from gateway.sdk.records import HealthCheck, HealthReport
from gateway.storage.queue_table import QueueTable
from gateway.storage.stores.destinations import sinks_without_plugin

_log = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 32 * 1024 * 1024
"""With less free space on its disk, a SQLite database counts as full."""

# With deliveries due and an engine running, an attempt is made at least this often.
_STANDSTILL: Final = timedelta(minutes=5)
_NO_ATTEMPTS: Final = "no due delivery was attempted for five minutes; see the log"
_NOT_CLAIMED: Final = "no due item was claimed for five minutes; see the log"
_FAILED_PLUGINS: Final = "failed to load: {}; the log and gateway check say why"
_READ_ONLY: Final = "the database is read-only: it is a standby, or set read-only"
_DISK_FULL: Final = "the disk of the database is full: free some space"
_UNWRITABLE: Final = (
    "the database can't be written ({}): check for locks and for faults of its disk"
)


class CheckAnswer(msgspec.Struct):
    """The state of one part."""

    ok: bool
    detail: str


class ReadyAnswer(msgspec.Struct):
    """The state of every part; ``status`` is ``ok`` or ``failing``."""

    status: str
    checks: dict[str, CheckAnswer]


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
            detail = f"did not answer within {self._deadline_seconds:g} seconds"
            return HealthReport(healthy=False, detail=detail)
        except Exception as error:  # noqa: BLE001 - any exception of a check means: not healthy
            place = with_place(type(error).__name__, error, check.check)
            if self._logged.get(check.name) != place:  # once, not at each question
                self._logged[check.name] = place
                _log.warning("health check %s failed: %s", check.name, place)
            return HealthReport(healthy=False, detail=f"the check failed: {type(error).__name__}")

    async def _database(self) -> HealthReport:
        """Report whether the database can be read and written.

        Concurrent requests share one probe. It survives their timeouts, because it waits
        in the queue of writers like any other transaction.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._run_probe(), context=Context())
        return await asyncio.shield(self._probe)

    async def _run_probe(self) -> HealthReport:
        database = self._gateway.database
        try:
            await database.ping()
            if not await database.can_write():
                return HealthReport(healthy=False, detail=_READ_ONLY)
            if database.path is not None:
                free = await asyncio.to_thread(shutil.disk_usage, database.path.parent)
                if free.free < self._least_free_bytes:
                    return HealthReport(healthy=False, detail=_DISK_FULL)
        except StorageError as error:
            return HealthReport(healthy=False, detail=error.message)
        except (SQLAlchemyError, OSError) as error:
            return HealthReport(healthy=False, detail=_UNWRITABLE.format(type(error).__name__))
        return HealthReport(healthy=True, detail=f"{database.dialect} answers")

    async def _key_file(self) -> HealthReport:
        fault = await asyncio.to_thread(self._gateway.key_watch.fault)
        if fault is not None:
            return HealthReport(healthy=False, detail=fault, command="gateway seal write-back")
        return HealthReport(healthy=True, detail="the key file is as in memory")

    async def _engine(self) -> HealthReport:
        gateway, now = self._gateway, self._gateway.clock.now()
        if gateway.engine is None:
            return HealthReport(healthy=True, detail="no engine runs in this process")
        report = await gateway.engine.health(now)
        if not report.healthy:
            return report
        backlog = await gateway.backlog.read()
        quiet = now - (backlog.last_attempt_at or self._since)
        # A failed attempt counts: a faulty endpoint doesn't make the gateway unhealthy.
        if min(backlog.oldest_age, quiet, now - self._since) > _STANDSTILL:
            return HealthReport(healthy=False, detail=_NO_ATTEMPTS)
        return report

    async def _queue(self, queue: QueueTable) -> HealthReport:
        """Report a plugin's queue: failing when due items are left alone, not for dead letters."""
        backlog = await self._gateway.backlog.read()
        depth = backlog.work_queues[queue.name]
        detail = f"{depth.due} due, {depth.leased} in work, {depth.dead} dead letters"
        claimable_since = max(depth.claimable_since or backlog.read_at, self._since)
        left_alone = backlog.read_at - claimable_since > _STANDSTILL
        # A remote agent that doesn't come for its work is not this process's fault.
        if left_alone and depth.leased == 0 and queue.held_by_process:
            return HealthReport(healthy=False, detail=f"{detail}; {_NOT_CLAIMED}")
        return HealthReport(healthy=True, detail=detail)

    async def _plugins(self) -> HealthReport:
        plugins = self._gateway.plugins
        failed = ", ".join(plugin.name for plugin in plugins if plugin.problem)
        if failed:  # the reason is in the log: a plugin's exception may contain anything
            return HealthReport(healthy=False, detail=_FAILED_PLUGINS.format(failed))
        enabled = sum(plugin.enabled for plugin in plugins)
        detail = f"{enabled} plugins loaded"
        try:
            async with self._gateway.database.read() as connection:
                missing = await sinks_without_plugin(connection, self._gateway.hooks.sinks())
        except (SQLAlchemyError, StorageError):
            missing = []  # the check "database" says so
        # A backlog for a plugin keeps no order from coming in: no reason to be taken off.
        return HealthReport(healthy=True, detail="; ".join([detail, *missing]))


async def readiness(gateway: Gateway) -> dict[str, HealthReport]:
    """Check every part once, those that don't decide whether it is ready as well."""
    return await Readiness(gateway, advisory=True).reports()


def health_router(gateway: Gateway) -> Router:
    """Make ``/health/live`` and ``/health/ready``."""
    readiness = Readiness(gateway)

    @get("/live", opt={"public": True}, summary="Liveness: the process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get(
        "/ready",
        opt={"public": True, "answer": ReadyAnswer},
        summary="Readiness: orders are accepted and delivered",
    )
    async def ready() -> Response[bytes]:
        reports = await readiness.reports()
        healthy = all(report.healthy for report in reports.values())
        checks = {
            name: CheckAnswer(report.healthy, report.detail) for name, report in reports.items()
        }
        body = ReadyAnswer("ok" if healthy else "failing", checks)
        status = 200 if healthy else 503
        return json_response(body, status)

    handlers: list[HTTPRouteHandler] = [live, ready]
    return Router("/health", route_handlers=handlers, tags=["Health"])
