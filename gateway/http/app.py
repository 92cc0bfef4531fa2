"""The HTTP application: its routers, middleware and exception handlers, in order."""

from collections.abc import Iterable
from typing import Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.routes import HTTPRoute

from gateway.auth.key_throttle import KeyThrottle
from gateway.auth.web_origin import WebOrigin
from gateway.dashboard.page_routes import PageRoute
from gateway.dashboard.routers import build_dashboard
from gateway.http.access_log import AccessLog
from gateway.http.audit import audit_router
from gateway.http.auth import Authentication, provide_caller, refuse_undeclared
from gateway.http.direct_routes import DirectRoutes
from gateway.http.emergencies_api import emergencies_router
from gateway.http.errors import HANDLERS, status_of
from gateway.http.files import files_router
from gateway.http.forms import BoundedRequest
from gateway.http.health import health_router
from gateway.http.keys import keys_router
from gateway.http.metrics import metrics_router
from gateway.http.openapi import docs_router, openapi_config
from gateway.http.packages_api import packages_router
from gateway.http.people_api import people_router
from gateway.http.plan import plan_router
from gateway.http.routers import naming_faults
from gateway.http.session_api import session_router
from gateway.http.web_sessions import WebSessions, provide_browser, provide_signed_in
from gateway.runtime import Gateway

MAX_BODY_BYTES: Final = 1_000_000


def create_app(gateway: Gateway) -> AccessLog:
    """Return the whole ASGI application of an open gateway."""
    with naming_faults(gateway, lambda: core_routers(gateway)):
        app = create_litestar(gateway)
    direct = DirectRoutes(app, app.state["authentication"])
    return AccessLog(direct, gateway.metrics, gateway.clock, lambda: gateway.tracing)


def core_routers(gateway: Gateway) -> list[Router]:
    """Return the core's own routers, without the pages'."""
    return [
        keys_router(gateway),
        packages_router(gateway),
        files_router(gateway),
        health_router(gateway),
        metrics_router(gateway),
        docs_router(),
        session_router(gateway),
        people_router(gateway),
        emergencies_router(gateway),
        plan_router(gateway),
        audit_router(gateway),
    ]


def create_litestar(gateway: Gateway) -> Litestar:
    """Return the Litestar application; :func:`create_app` wraps it."""
    table = gateway.settings.http
    throttle = KeyThrottle(gateway.keys, gateway.clock, table.failed_keys_per_minute)
    origin = WebOrigin(gateway.settings)
    web = WebSessions(gateway.identity, gateway.emergencies, origin)
    pages: list[Router] = []
    routes: Iterable[PageRoute] = ()
    refusals = None
    if gateway.settings.dashboard.enabled:
        dashboard = build_dashboard(gateway, origin, status_of)
        pages, routes, refusals = [dashboard.router], dashboard.routes, dashboard.refusals
    authentication = Authentication(
        throttle, web, gateway.limits, gateway.plans, gateway.audit, table
    )
    app = Litestar(
        route_handlers=[
            *gateway.hooks.http_routers(),
            *core_routers(gateway),
            *pages,
        ],
        state=State(
            {"refusals": refusals, "page_routes": routes, "authentication": authentication}
        ),
        middleware=[authentication],
        exception_handlers=HANDLERS,
        dependencies={
            "caller": Provide(provide_caller, sync_to_thread=False),
            "browser": Provide(provide_browser, sync_to_thread=False),
            "signed_in": Provide(provide_signed_in, sync_to_thread=False),
        },
        request_class=BoundedRequest,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        logging_config=None,
        debug=False,
    )
    refuse_undeclared(app, gateway.permissions)
    _provide_in_turn(app)
    return app


def _provide_in_turn(app: Litestar) -> None:
    """Provide dependencies one after the other.

    Litestar starts a task for each of several independent ones. Ours need no waiting.
    """
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for _, model in route.route_handler_map.values():
                model.dependency_batches = [
                    {each} for batch in model.dependency_batches for each in batch
                ]
