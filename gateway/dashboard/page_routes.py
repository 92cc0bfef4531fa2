"""Which page or action an address below ``/dashboard`` names, and what its route declares.

Two routes of the web framework serve all pages, live and test: one route for each page and each
action cost half a second of every start, and memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from litestar.exceptions import MethodNotAllowedException
from litestar.types import Scope

from gateway.dashboard.forms import FORM, MAX_FORM_BYTES
from gateway.dashboard.registry import OwnedPage
from gateway.errors import PluginError
from gateway.model.permission import ANY_CALLER
from gateway.sdk.page_request import DASHBOARD
from gateway.sdk.pages import Action
from gateway.sdk.uploads import MULTIPART

_FOUND: Final = "gateway_page_route"
_TEST: Final = "test"
# The key of a parameter in a node; no part of an address is empty.
_PARAMETER: Final = ""

Resolve = Callable[[Scope], Mapping[str, Any]]


class PageRoute(NamedTuple):
    """One method of one address; without ``owned``, no page has the address.

    ``path`` is the address with its parameters in braces; ``options`` are like the ``opt`` of a
    route of the web framework (see :mod:`gateway.http.auth`).
    """

    method: str
    path: str
    options: Mapping[str, Any]
    owned: OwnedPage | None = None
    action: Action | None = None


class _Node:
    """A part of the addresses: the routes that end here by method, and the parts after it."""

    def __init__(self) -> None:
        self.routes: dict[str, PageRoute] = {}
        self.children: dict[str, _Node] = {}


class PageRoutes:
    """The routes of all pages; a literal part goes before a parameter.

    Raises ``PluginError`` where two pages or actions have one address.
    """

    def __init__(self, pages: Iterable[OwnedPage]) -> None:
        self._root = _Node()
        self._all: list[PageRoute] = []
        for owned in pages:
            self._add("GET", owned, None)
            for action in owned.page.actions:
                self._add("POST", owned, action)

    def __iter__(self) -> Iterator[PageRoute]:
        return iter(self._all)

    def resolver(self) -> Resolve:
        """Return the function that finds a request's route and notes it in its scope.

        It returns the route's options, and raises ``MethodNotAllowedException``. A separate
        function, because the web framework makes deep copies of a handler's options.
        """

        def resolve(scope: Scope) -> Mapping[str, Any]:
            method: str = scope["method"]  # type: ignore[typeddict-item]  # only HTTP comes here
            route, parameters = self.find(method, scope["path"])
            scope["path_params"] = parameters
            scope["path_template"] = route.path
            scope["state"][_FOUND] = route
            return route.options

        return resolve

    def find(self, method: str, path: str) -> tuple[PageRoute, dict[str, str]]:
        """Return the route of an address and its parameters."""
        parts = [each for each in path.removeprefix(DASHBOARD).split("/") if each]
        found = next(_walk(self._root, parts, ()), None)
        if found is None:
            return _NOWHERE[method], {}
        node, values = found
        route = node.routes.get(method)
        if route is None:
            raise MethodNotAllowedException(headers={"allow": ", ".join(sorted(node.routes))})
        return route, dict(zip(_names(route.path), values, strict=True))

    def _add(self, method: str, owned: OwnedPage, action: Action | None) -> None:
        page = owned.page
        below = "/".join(filter(None, (page.path, "" if action is None else action.path)))
        options = _options(owned) if action is None else _action_options(owned, action)
        for prefix in ("", _TEST):
            path = "/".join(filter(None, (DASHBOARD, prefix, below)))
            route = PageRoute(method, path, options, owned, action)
            self._all.append(route)
            node = self._root
            for part in path.removeprefix(DASHBOARD).split("/")[1:]:
                key = _PARAMETER if part.startswith("{") else part
                node = node.children.setdefault(key, _Node())
            taken = node.routes.setdefault(method, route)
            if taken is not route:
                raise PluginError(
                    f"{_owner(owned)} brings {method} {path}, which {_owner(taken.owned)} has as "
                    f"{taken.path}"
                )


def _owner(owned: OwnedPage | None) -> str:
    return f"plugin {owned.plugin}" if owned is not None and owned.plugin else "the core"


def route_of(scope: Scope) -> PageRoute | None:
    """Return the page route of a request; ``None`` if it isn't for a page."""
    route: PageRoute | None = scope["state"].get(_FOUND)
    return route


def _walk(
    node: _Node, parts: list[str], values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    if not parts:
        if node.routes:
            yield node, values
        return
    first, *others = parts
    if first in node.children:
        yield from _walk(node.children[first], others, values)
    if _PARAMETER in node.children:
        yield from _walk(node.children[_PARAMETER], others, (*values, first))


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _options(owned: OwnedPage) -> dict[str, Any]:
    return {"permission": owned.page.permission, "session": True, "page": True}


def _action_options(owned: OwnedPage, action: Action) -> dict[str, Any]:
    return {
        "permission": action.permission,
        "session": True,
        "page": True,
        "limit": action.limit,
        "media": (MULTIPART,) if action.upload_bytes else FORM,
        "feature": owned.plugin or None,
        "max_body_bytes": action.upload_bytes or MAX_FORM_BYTES,
    }


_NOWHERE: Final = {
    method: PageRoute(
        method,
        f"{DASHBOARD}/{{rest}}",
        {"permission": ANY_CALLER, "session": True, "page": True, "media": (MULTIPART, *FORM)},
    )
    for method in ("GET", "POST")
}
