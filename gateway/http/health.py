"""Is it alive, is it ready: for a person, a load balancer, a container platform."""

import asyncio
from typing import Final

import msgspec
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler

from gateway.errors import StorageError
from gateway.http.errors import MEDIA_TYPE
from gateway.loading import plugin_problems
from gateway.model.wire import encode
from gateway.records import HealthCheck, HealthReport
from gateway.runtime import Gateway

_DEADLINE_SECONDS: Final = 5.0


class CheckAnswer(msgspec.Struct):
    """How one part is."""

    ok: bool
    detail: str


class ReadyAnswer(msgspec.Struct):
    """How every part is; ``status`` is ``ok`` or ``failing``."""

    status: str
    checks: dict[str, CheckAnswer]


async def readiness(gateway: Gateway) -> dict[str, HealthReport]:
    """Ask every part how it is; none may take longer than five seconds."""
    checks = [
        HealthCheck("database", lambda: _database(gateway)),
        HealthCheck("engine", lambda: _engine(gateway)),
        HealthCheck("plugins", lambda: _plugins(gateway)),
        *gateway.hooks.health_checks(),
    ]
    reports = await asyncio.gather(*(_asked(check) for check in checks))
    return {check.name: report for check, report in zip(checks, reports, strict=True)}


def health_router(gateway: Gateway) -> Router:
    """Make ``/health/live`` and ``/health/ready``."""

    @get("/live", opt={"public": True}, summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get(
        "/ready",
        opt={"public": True, "answer": ReadyAnswer},
        summary="Orders can be taken and are being delivered",
    )
    async def ready() -> Response[bytes]:
        reports = await readiness(gateway)
        healthy = all(report.healthy for report in reports.values())
        checks = {
            name: CheckAnswer(report.healthy, report.detail) for name, report in reports.items()
        }
        body = ReadyAnswer("ok" if healthy else "failing", checks)
        status = 200 if healthy else 503
        return Response(encode(body), status_code=status, media_type=MEDIA_TYPE)

    handlers: list[HTTPRouteHandler] = [live, ready]
    return Router("/health", route_handlers=handlers, tags=["Health"])


async def _asked(check: HealthCheck) -> HealthReport:
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            return await check.check()
    except TimeoutError:
        return HealthReport(healthy=False, detail="did not answer within 5 seconds")
    except Exception as error:  # noqa: BLE001 - whatever a check raises means: not healthy
        return HealthReport(healthy=False, detail=f"the check failed: {type(error).__name__}")


async def _database(gateway: Gateway) -> HealthReport:
    try:
        await gateway.database.ping()
    except StorageError as error:
        return HealthReport(healthy=False, detail=error.message)
    return HealthReport(healthy=True, detail=f"{gateway.database.dialect} answers")


async def _engine(gateway: Gateway) -> HealthReport:
    engine = gateway.engine
    if engine is None:
        return HealthReport(healthy=True, detail="no engine runs in this process")
    return await engine.health(gateway.clock.now())


async def _plugins(gateway: Gateway) -> HealthReport:
    problems = plugin_problems(gateway.plugins)
    if problems:
        return HealthReport(healthy=False, detail="; ".join(each.message for each in problems))
    enabled = sum(plugin.enabled for plugin in gateway.plugins)
    return HealthReport(healthy=True, detail=f"{enabled} plugins loaded")
