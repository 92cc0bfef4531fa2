"""The dashboard, wired: layout, pages of core and plugins, their routes, and their refusals."""

from collections.abc import Callable
from typing import Any, NamedTuple

from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gateway.auth.web_origin import WebOrigin
from gateway.dashboard.entrance import entrance
from gateway.dashboard.own_pages import own_pages, own_panels
from gateway.dashboard.refusals import Refusals
from gateway.dashboard.registry import Pages
from gateway.dashboard.rendering import HEADERS, Layout
from gateway.dashboard.serving import AnyCaller, PageServer
from gateway.dashboard.shell import Shell
from gateway.dashboard.stream import stream_routes
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway
from gateway.sdk.page_request import DASHBOARD, page_url


class Dashboard(NamedTuple):
    """The routes below ``/dashboard``, and what they answer in place of an error."""

    router: Router
    refusals: Refusals
    shell: Shell


def build_dashboard(
    gateway: Gateway, origin: WebOrigin, status_of: Callable[[Any], int]
) -> Dashboard:
    """Wire the dashboard; ``status_of`` gives the HTTP status of an error."""
    pages = Pages(own_pages(gateway), own_panels(gateway), gateway.hooks)
    layout = Layout(pages.packages)
    shell = Shell(gateway, layout, pages)
    server = PageServer(gateway, layout, shell, status_of)
    handlers = [*entrance(gateway, layout), *stream_routes(gateway), *server.routes()]
    if "" not in pages.all:
        handlers.append(_first(pages))
    router = Router(DASHBOARD, route_handlers=handlers, include_in_schema=False)
    return Dashboard(router, Refusals(layout, origin, server), shell)


def _first(pages: Pages) -> HTTPRouteHandler:
    """Make the home of a dashboard that has none: it leads to the first page of one's own."""

    @get(["/", "/test"], opt={"permission": ANY_CALLER, "session": True, "page": True})
    async def first(caller: AnyCaller) -> Response[Any]:
        own = [each.page.path for each in pages.visible(caller)]
        target = page_url(own[0] if own else "me", caller.mode)
        return Redirect(target, status_code=303, headers=dict(HEADERS))

    return first
