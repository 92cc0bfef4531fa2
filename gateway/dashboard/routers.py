"""The dashboard, wired: layout, pages of core and plugins, their routes, and their refusals."""

from collections.abc import Callable
from typing import Any, NamedTuple

from litestar import Request, Router

from gateway.auth.web_origin import WebOrigin
from gateway.dashboard.entrance import entrance
from gateway.dashboard.own_pages import own_pages, own_panels
from gateway.dashboard.page_routes import PageRoutes
from gateway.dashboard.refusals import Refusals
from gateway.dashboard.registry import Pages
from gateway.dashboard.rendering import Layout
from gateway.dashboard.serving import PageServer
from gateway.dashboard.shell import Shell
from gateway.dashboard.stream import stream_routes
from gateway.runtime import Gateway
from gateway.sdk.page_request import DASHBOARD


class Dashboard(NamedTuple):
    """The routes below ``/dashboard``, and their responses to errors."""

    router: Router
    refusals: Refusals
    shell: Shell
    routes: PageRoutes


def build_dashboard(
    gateway: Gateway, origin: WebOrigin, status_of: Callable[[Any], int]
) -> Dashboard:
    """Wire the dashboard; ``status_of`` gives the HTTP status of an error."""
    pages = Pages(own_pages(gateway), own_panels(gateway), gateway.hooks)
    layout = Layout(pages.packages)
    shell = Shell(gateway, layout, pages)
    server = PageServer(gateway, layout, shell, status_of)
    handlers = [*entrance(gateway, layout), *stream_routes(gateway), *server.handlers()]

    async def load(_request: Request[Any, Any, Any]) -> None:
        await layout.load()

    router = Router(
        DASHBOARD, route_handlers=handlers, before_request=load, include_in_schema=False
    )
    return Dashboard(router, Refusals(layout, origin, server), shell, server.routes)
