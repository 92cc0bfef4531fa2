"""Faults of plugins' routes, each in one sentence that names plugin, address, file and line.

Litestar reports a wrong annotation, or an address that exists twice, without naming the plugin.
``gateway check`` and the contract suite look for both before a server starts, and a server that
can't start because of one reports the same sentence.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from gateway.errors import PluginError
from gateway.observability.fault_places import beginning_of
from gateway.runtime import Gateway

_CORE: Final = ""
_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_GIVEN: Final = ("caller", "browser", "signed_in")


class Unopened:
    """A closed gateway, for building routers that are never called.

    Each part that only an open gateway has is this object itself.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Any:
        """Return a part that the closed gateway has, and otherwise this object."""
        return getattr(self._gateway, name, self)


class _Route(NamedTuple):
    owner: str
    method: str
    path: str
    handler: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def place(self) -> str:
        return beginning_of(self.handler.fn)


@contextmanager
def naming_faults(gateway: Gateway, core: Callable[[], Sequence[Router]]) -> Iterator[None]:
    """Raise ``PluginError`` with the sentence about a plugin's route when the block fails for it.

    ``core`` makes the core's own routers.
    """
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        fault = next(router_faults(gateway, core()), None)
        if fault is None:
            raise
        raise PluginError(fault) from error


def router_faults(gateway: Gateway, core: Sequence[Router]) -> Iterator[str]:
    """Yield the faults of the routes of all plugins; raises ``PluginError`` as the hook does."""
    taken = {_address(each): each for router in core for each in _routes(_CORE, router)}
    found = gateway.hooks.routers_by_plugin()
    # All routers together take an eighth of the time; one at a time shows the faulty plugin.
    are_sound = _build_fault(*(router for _, router in found)) is None
    for plugin, router in found:
        routes = list(_routes(plugin, router))
        if not are_sound and _build_fault(router) is not None:
            yield from (
                f"plugin {plugin}: {each.name} ({each.place}) can't be served: {fault}"
                for each in routes
                if (fault := _build_fault(_alone(router, each.handler)))
            )
        for each in routes:
            first = taken.setdefault(_address(each), each)
            if first is not each:
                yield _clash(first, each)


def addresses_of(gateway: Gateway, plugin: str) -> set[tuple[str, str]]:
    """Return the method and path of each route of a plugin."""
    return {
        (each.method, each.path)
        for owner, router in gateway.hooks.routers_by_plugin()
        if owner == plugin
        for each in _routes(owner, router)
    }


def _routes(owner: str, router: Router) -> Iterator[_Route]:
    for route in router.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                yield from (
                    _Route(owner, method, route.path, handler)
                    for method in sorted(map(str, handler.http_methods))
                    if method != "OPTIONS"
                )


def _address(route: _Route) -> tuple[str, str]:
    """Return the address for comparisons: names of parameters don't distinguish routes."""
    return route.method, _PARAMETER.sub("{}", route.path)


def _alone(router: Router, handler: BaseRouteHandler) -> Router:
    return Router(router.path, route_handlers=[handler], dependencies=dict(router.dependencies))


def _build_fault(*routers: Router) -> str | None:
    """Return why an application of these routers can't be made."""
    given = {name: Provide(lambda: None, sync_to_thread=False) for name in _GIVEN}
    try:
        Litestar(routers, dependencies=given, openapi_config=None, logging_config=None)
    except Exception as error:  # noqa: BLE001 - annotations are evaluated, and raise anything
        text = " ".join(str(getattr(error, "detail", None) or error).split())
        return f"{text} ({type(error).__name__})"
    return None


def _clash(first: _Route, second: _Route) -> str:
    if first.owner == _CORE:
        return (
            f"plugin {second.owner}: {second.name} ({second.place}) is an address of the core: "
            "choose another one"
        )
    if first.owner == second.owner:
        return (
            f"plugin {second.owner} brings {second.name} twice ({first.place} and {second.place}): "
            "take one of them out"
        )
    return (
        f"plugin {first.owner} ({first.place}) and plugin {second.owner} ({second.place}) both "
        f"bring {second.name}: change one of the addresses"
    )
