"""All pages and panels: the core's and the plugins', checked once at start.

A path belongs to one page: two pages never share an address.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple, get_args

from gateway.errors import PluginError
from gateway.hooks import Hooks
from gateway.model.account import Caller
from gateway.sdk.pages import PANEL_PLACES, Page, Panel, PanelPlace, Section

SECTIONS: Final[tuple[Section, ...]] = get_args(Section)
RESERVED: Final = frozenset(
    {
        *("static", "test", "sign-in", "sign-out", "welcome", "invitation", "enrol", "lock"),
        *("confirm", "me", "language", "preferences", "stream", "oidc"),
    }
)
"""First parts of addresses that the core reserves."""
_PART: Final = re.compile(r"[a-z0-9][a-z0-9._-]*|\{[a-z][a-z0-9_]*\}")


class OwnedPage(NamedTuple):
    """A page and its plugin; ``""`` for the core."""

    page: Page
    plugin: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The permissions that it needs."""
        return needs(self.page.permission)


class OwnedPanel(NamedTuple):
    """A panel and its plugin."""

    panel: Panel
    plugin: str = ""


class Pages:
    """The pages by path, the navigation's order, and the panels of each place."""

    def __init__(
        self, own: Sequence[Page], own_panels: Mapping[PanelPlace, Sequence[Panel]], hooks: Hooks
    ) -> None:
        self.all: dict[str, OwnedPage] = {}
        self._shapes: dict[str, str] = {}
        for page in own:
            self._add(OwnedPage(page))
        for plugin, pages in hooks.pages():
            for page in pages:
                self._add(OwnedPage(page, plugin))
        for owned in self.all.values():
            _refuse_orphan(owned, self.all)
        self.packages: dict[str, str] = hooks.packages()
        self.panels: dict[PanelPlace, list[OwnedPanel]] = {}
        for place in PANEL_PLACES:
            found = [OwnedPanel(each) for each in own_panels.get(place, ())]
            found += [
                OwnedPanel(panel, plugin)
                for plugin, panels in hooks.panels(place)
                for panel in panels
            ]
            self.panels[place] = sorted(found, key=lambda each: each.panel.order)
        self.navigation = sorted(
            (each for each in self.all.values() if each.page.section is not None),
            key=lambda each: (
                SECTIONS.index(each.page.section or "top"), each.page.order, each.page.title
            ),
        )  # fmt: skip

    def _add(self, owned: OwnedPage) -> None:
        page, owner = owned.page, f"plugin {owned.plugin}" if owned.plugin else "the core"
        paths = [page.path]
        for action in page.actions:
            paths.append("/".join(filter(None, (page.path, action.path))))
            if not needs(action.permission):
                raise PluginError(f"{owner} brings an action of {page.path!r} with no permission")
        for path in paths:
            parts = path.split("/") if path else []
            if not all(_PART.fullmatch(each) for each in parts):
                raise PluginError(
                    f"{owner} brings a page at {path!r}: a path has parts as in stock/{{item_id}}"
                )
            if owned.plugin and parts and parts[0] in RESERVED:
                raise PluginError(f"{owner} brings a page at {path!r}, which the core keeps")
        if not owned.needs:
            raise PluginError(f"{owner} brings the page {page.path!r} without a permission")
        if page.section is not None and ("{" in page.path or page.section not in SECTIONS):
            raise PluginError(
                f"{owner} brings the page {page.path!r} with a section: it has parameters, or "
                f"the section is none of {', '.join(SECTIONS)}"
            )
        shape = re.sub(r"\{[^}]*\}", "{}", page.path)
        if shape in self._shapes:
            raise PluginError(f"{owner} brings the page {page.path!r} a second time")
        self._shapes[shape] = page.path
        self.all[page.path] = owned

    def visible(self, caller: Caller) -> list[OwnedPage]:
        """Return the pages of the navigation that a caller may see."""
        return [each for each in self.navigation if all(map(caller.may, each.needs))]

    def marked(self, page: Page) -> str:
        """Return the path of the page that the navigation marks as the current one."""
        seen: set[str] = set()
        while page.section is None and page.parent is not None and page.path not in seen:
            seen.add(page.path)
            page = self.all[page.parent].page
        return page.path

    def folders(self) -> dict[str, Traversable]:
        """Return the folder of each plugin's package, for its templates, texts and files."""
        return {name: resources.files(package) for name, package in self.packages.items()}


def needs(permission: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the permissions that a record names."""
    return (permission,) if isinstance(permission, str) else permission


def _refuse_orphan(owned: OwnedPage, known: Mapping[str, OwnedPage]) -> None:
    page = owned.page
    if page.parent is not None and page.parent not in known:
        raise PluginError(f"the page {page.path!r} has the parent {page.parent!r}: there is none")
