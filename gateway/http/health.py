"""``/health/live`` and ``/health/ready``, for people, load balancers and containers."""

import msgspec
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler

from gateway.health.readiness import Readiness
from gateway.runtime import Gateway
from gateway.sdk.http import json_response


class CheckAnswer(msgspec.Struct):
    """The state of one part."""

    ok: bool
    detail: str


class ReadyAnswer(msgspec.Struct):
    """The state of every part; ``status`` is ``ok`` or ``failing``."""

    status: str
    checks: dict[str, CheckAnswer]


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
