"""The frame of every page: navigation, sites, live and test, the person's menu.

:meth:`Shell.render` makes the whole page, :meth:`Shell.error` the page for an error.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response
from markupsafe import Markup

from gateway.auth.emergencies import OPEN_RECORDS
from gateway.auth.sessions import SignedIn
from gateway.clock import isoformat
from gateway.dashboard.badges import Badges
from gateway.dashboard.page_memory import NO_DRAFT, Draft
from gateway.dashboard.registry import OwnedPage, Pages
from gateway.dashboard.rendering import SHORTCUTS_COOKIE, Layout, html, theme_of
from gateway.dashboard.toasts import Toast
from gateway.errors import GatewayError
from gateway.model.account import Mode
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Texts
from gateway.sdk.pages import Badge, Template
from gateway.version import __version__

PAGE: Final = "page.html"
ERROR: Final = "error.html"
_STREAM: Final = "stream.js"
_OTHER: Final[Mapping[Mode, Mode]] = {"live": "test", "test": "live"}


class ShownError(NamedTuple):
    """An error as a page shows it; ``fields`` has the problem of each field."""

    text: str
    details: list[str]
    fields: dict[str, str]


class MadePanel(NamedTuple):
    """A panel as HTML, and its place among the others."""

    markup: Markup
    order: int = 0

    def __html__(self) -> Markup:
        """Return the HTML, which a template shows without escaping."""
        return self.markup


class Around(NamedTuple):
    """The values of a full page beside its own content.

    ``refused_code`` is the plugin whose code in the page the browser refuses.
    """

    signed_in: SignedIn
    badges: Mapping[str, Badge]
    toast: Toast | None = None
    draft: Draft = NO_DRAFT
    panels: tuple[MadePanel, ...] = ()
    refused_code: str = ""


class Shell:
    """Renders pages with their frame."""

    def __init__(self, gateway: Gateway, layout: Layout, pages: Pages) -> None:
        self._settings = gateway.settings
        self._clock = gateway.clock
        self.layout = layout
        self.pages = pages
        self.badges = Badges(gateway.clock)

    def part(
        self, owned: OwnedPage, request: PageRequest, answer: Template, around: Around
    ) -> Markup | None:
        """Render the requested regions; ``None`` where the template lacks one."""
        values = self._values(owned, request, around)
        values |= {"region_only": True, **answer.context}
        return self.layout.regions(
            owned.plugin, request.person.language, answer.name, values, request.region
        )

    def render(
        self, owned: OwnedPage, request: PageRequest, answer: Template, around: Around
    ) -> Markup:
        """Render a whole page."""
        values = self._values(owned, request, around)
        values |= self._surroundings(owned, request, around)
        if answer.title is not None:
            values["page_title"] = answer.title
        values |= answer.context
        return self.layout.render(owned.plugin, request.person.language, answer.name, values)

    def panel(self, plugin: str, request: PageRequest, answer: Template) -> Markup:
        """Render a panel, or the note in its place."""
        values = self._page_values(plugin, request) | dict(answer.context)
        return self.layout.render(plugin, request.person.language, answer.name, values)

    def error(
        self,
        owned: OwnedPage,
        request: PageRequest,
        around: Around,
        status: int,
        *,
        plugin: str = "",
        reference: str = "",
    ) -> Response[str]:
        """Return the page with the reason why ``owned`` can't be shown: ``request.problem``."""
        context = {"status": status, "failed_plugin": plugin, "reference": reference}
        core = owned._replace(plugin="")
        text = self.render(core, request, Template(ERROR, context), around)
        return html(text, status)

    def sites_of(self, signed_in: SignedIn) -> dict[str, str]:
        """Return the names of the sites that a person may see, by code."""
        account, own = signed_in.row.account_id, signed_in.membership.sites
        return {
            each.code: each.name
            for each in self._settings.sites
            if each.account == account and (own is None or each.code in own)
        }

    def zone_of(self, codes: Mapping[str, str], site: str | None) -> str:
        """Return the time zone of a site, or the one that all ``codes`` share; else UTC."""
        zones = {
            each.timezone
            for each in self._settings.sites
            if each.code in codes and (site is None or each.code == site)
        }
        return zones.pop() if len(zones) == 1 else "UTC"

    def _page_values(self, plugin: str, request: PageRequest) -> dict[str, Any]:
        """Return the values that each template of a page or panel can use."""
        formats = request.formats

        def site_field() -> Markup:
            if request.site is None:
                return Markup("")
            return Markup('<input type="hidden" name="site" value="{}">').format(request.site)

        texts = self.layout.texts(plugin, request.person.language)
        return {
            "lang": request.person.language,
            "mode": request.mode,
            "person": request.person,
            "site": request.site,
            "query": request.query,
            "given": request.given,
            "problem": _shown(texts, request.problem),
            "now": request.now,
            "formats": formats,
            "url": request.url,
            "may": request.caller.may,
            "site_field": site_field,
            "time_of": formats.time_tag,
            "clock_of": formats.clock_tag,
            "age_of": formats.age_tag,
            "date_of": formats.date,
            "number": formats.number,
            "money": formats.money,
            "percent": formats.percent,
            "duration": formats.duration,
        }

    def _values(self, owned: OwnedPage, request: PageRequest, around: Around) -> dict[str, Any]:
        return self._page_values(owned.plugin, request) | {
            "sites": self.sites_of(around.signed_in),
            "panels": around.panels,
        }

    def _surroundings(
        self, owned: OwnedPage, request: PageRequest, around: Around
    ) -> dict[str, Any]:
        signed_in, texts = around.signed_in, self.layout.texts("", request.person.language)
        page, http = owned.page, request.http
        root = self.pages.marked(page)
        root = root if "{" not in root else ""
        title = self.layout.texts(owned.plugin, request.person.language).gettext(page.title)
        return {
            "page_title": title,
            "region_only": False,
            "refused_code": around.refused_code,
            "here": http.url.path + (f"?{http.url.query}" if http.url.query else ""),
            "theme": theme_of(http),
            "shortcuts": http.cookies.get(SHORTCUTS_COOKIE) != "off",
            "role_name": texts.gettext(request.person.role.replace("_", " ")),
            "navigation": self._navigation(request, around, root),
            "bottom": self._bottom(request, around, root),
            "parent": self._parent(page.parent, request),
            "site_links": {code: request.url(root, site=code) for code in self.sites_of(signed_in)},
            "all_sites": request.url(root, site=None),
            "own_mode": request.url(root),
            "other_mode": request.url(root, mode=_OTHER[request.mode]),
            "stream": self.layout.assets.url(_STREAM) if _STREAM in self.layout.assets else "",
            "open_records": http.scope["state"].get(OPEN_RECORDS, ()),
            "toast": around.toast,
            "draft": msgspec.json.encode(around.draft).decode() if around.draft else "",
            "locks_in": _seconds_to(signed_in.locks_at, request.now),
            "loaded_at": isoformat(request.now),
            "version": __version__,
        }

    def _navigation(self, request: PageRequest, around: Around, root: str) -> list[dict[str, Any]]:
        gettext = self.layout.texts("", request.person.language).gettext
        titles = {
            "top": "",
            "orders": gettext("Orders"),
            "prescriptions": gettext("Prescriptions"),
            "webhooks": gettext("Webhooks"),
            "administration": gettext("Administration"),
        }
        groups: dict[str, list[dict[str, Any]]] = {}
        for owned in self.pages.visible(request.caller):
            item = self._item(owned, request, around, root)
            groups.setdefault(owned.page.section or "top", []).append(item)
        return [
            {"id": name, "title": titles[name], "items": items} for name, items in groups.items()
        ]

    def _bottom(self, request: PageRequest, around: Around, root: str) -> list[dict[str, Any]]:
        found = [each for each in self.pages.visible(request.caller) if each.page.bottom]
        return [self._item(each, request, around, root) for each in found[:4]]

    def _item(
        self, owned: OwnedPage, request: PageRequest, around: Around, root: str
    ) -> dict[str, Any]:
        page = owned.page
        texts = self.layout.texts(owned.plugin, request.person.language)
        badge = around.badges.get(page.path)
        return {
            "title": texts.gettext(page.title),
            "href": request.url(page.path),
            "icon": page.icon,
            "is_current": page.path == root,
            "badge": badge,
            "badge_words": "" if badge is None else texts.gettext(badge.words),
        }

    def _parent(self, path: str | None, request: PageRequest) -> dict[str, str] | None:
        if path is None or "{" in path:
            return None
        owned = self.pages.all[path]
        if not all(map(request.caller.may, owned.needs)):
            return None
        texts = self.layout.texts(owned.plugin, request.person.language)
        return {"title": texts.gettext(owned.page.title), "href": request.url(path)}


def _shown(texts: Texts, error: GatewayError | None) -> ShownError | None:
    if error is None:
        return None
    details = [(each.field, texts.gettext(each.message)) for each in error.details]
    return ShownError(
        texts.gettext(error.message),
        [message for _, message in details],
        {field: message for field, message in details if field},
    )


def _seconds_to(moment: datetime, now: datetime) -> int:
    return max(1, int((moment - now).total_seconds()))
