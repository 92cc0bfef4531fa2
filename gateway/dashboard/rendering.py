"""Renders pages: Jinja2 with autoescape, the languages, and the headers of every page.

No inline script and no style attribute: the policy allows only the gateway's own files. Pages with
a person's data are never cached. Templates of a plugin have its name before theirs, so none
replaces one of the core's.
"""

import asyncio
import gettext
import gzip
import importlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response
from markupsafe import Markup

from gateway.dashboard.assets import Assets
from gateway.dashboard.catalogs import catalog
from gateway.dashboard.plugin_output import joined
from gateway.model.person import LANGUAGES
from gateway.sdk.page_request import Query

if TYPE_CHECKING:  # imported with the first page
    from jinja2 import Environment

    from gateway.dashboard.environments import Environments

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HTML: Final = "text/html; charset=utf-8"
LANGUAGE_COOKIE: Final = "language"
THEME_COOKIE: Final = "theme"
SHORTCUTS_COOKIE: Final = "shortcuts"
STEPS_COOKIE: Final = "steps"
THEMES: Final = ("light", "dark")
NAMES: Final = (("en", "English"), ("fr", "Français"), ("es", "Español"))
PARTS: Final = "parts.html"
_CORE: Final = "gateway.dashboard"
_ENVIRONMENTS: Final = "gateway.dashboard.environments"
_WORTH_PACKING: Final = 1000
_QUICK: Final = 5


class Layout:
    """Renders templates: those of the core, and of each plugin in ``packages`` by its name.

    There is an environment for each language and plugin: a plugin's texts come after the core's.
    A page of more than two million characters isn't made.
    """

    def __init__(
        self, packages: Mapping[str, str] | None = None, languages: Sequence[str] = LANGUAGES
    ) -> None:
        self._packages = {"": _CORE, **(packages or {})}
        self._folders = {name: resources.files(each) for name, each in self._packages.items()}
        self.assets = Assets(self._folders)
        self._languages = tuple(languages)
        self._texts: dict[tuple[str, str], gettext.NullTranslations] = {}
        self._shared: dict[str, Any] = {"company": None}
        self._environments: Environments | None = None
        self._is_loaded = False

    async def load(self) -> None:
        """Import Jinja2, with the first page: 80 ms, so not on the event loop."""
        if not self._is_loaded:
            await asyncio.to_thread(importlib.import_module, _ENVIRONMENTS)
            self._is_loaded = True

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        status: int = 200,
        *,
        language: str | None = None,
        **context: Any,
    ) -> Response[str]:
        """Render a page outside the shell; ``language`` is the signed-in person's."""
        lang = language or self.language_of(request)
        values = {"problem": None, "details": (), "given": Query(), **context}
        if values["problem"] is not None:  # sentences of errors: the catalog has those of pages
            values["problem"] = self.text(lang, values["problem"])
            values["details"] = [self.text(lang, each) for each in values["details"]]
        values |= {"lang": lang, "here": here(request), "theme": theme_of(request)}
        return html(self.render("", lang, template, values), status)

    def render(
        self, plugin: str, language: str, template: str, context: Mapping[str, Any]
    ) -> Markup:
        """Render a template with the texts of a plugin, ``""`` for the core."""
        environment = self._environment(plugin, language)
        found = environment.get_template(template)
        parts = found.generate(self._values(environment, context))
        return Markup(joined(parts))  # noqa: S704 - autoescaped

    def regions(
        self,
        plugin: str,
        language: str,
        template: str,
        context: Mapping[str, Any],
        names: Iterable[str],
    ) -> Markup | None:
        """Render parts of a page alone; ``None`` where the template has no block of a name."""
        environment = self._environment(plugin, language)
        found = environment.get_template(template)
        blocks = [found.blocks.get(name.replace("-", "_")) for name in names]
        if not blocks or None in blocks:
            return None
        made = found.new_context(self._values(environment, context))
        texts = [joined(block(made)) for block in blocks if block is not None]
        return Markup("\n".join(texts))  # noqa: S704 - autoescaped

    def texts(self, plugin: str, language: str) -> gettext.NullTranslations:
        """Return a plugin's texts in a language, after the core's."""
        found = self._texts.get((plugin, language))
        if found is None:
            # The core's pages show sentences of every plugin: attention items, health checks.
            own = [self._folders[plugin]] if plugin else self._folders.values()
            found = catalog(language, [self._folders[""], *own])
            self._texts[plugin, language] = found
        return found

    def share(self, **values: Any) -> None:
        """Give values to all templates, before the first of them is rendered."""
        self._shared |= values

    def text(self, language: str, message: str) -> str:
        """Return a sentence of the core in a language."""
        return self.texts("", language).gettext(message)

    def language_of(self, request: Request[Any, Any, Any], own: str | None = None) -> str:
        """Return a person's ``own`` language, or the one this browser chose, or asks for."""
        for chosen in (own, request.cookies.get(LANGUAGE_COOKIE)):
            if chosen in self._languages:
                return str(chosen)
        return _accepted(request.headers.get("accept-language", ""), self._languages)

    def _environment(self, plugin: str, language: str) -> "Environment":
        if self._environments is None:
            from gateway.dashboard.environments import Environments

            shared = {**self._shared, "static": self.assets.url, "languages": NAMES}
            self._environments = Environments(self._packages, shared)
        return self._environments.of(plugin, language, self.texts(plugin, language))

    def _values(self, environment: "Environment", context: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(context)
        # Macros with the page's own values: the typed input, and its problems.
        values["ui"] = environment.get_template(PARTS).make_module(values)
        return values


def html(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[Any]:
    """Answer with a page."""
    return Response(
        text, status_code=status, media_type=HTML, headers={**HEADERS, **(headers or {})}
    )


def packed(response: Response[Any], request: Request[Any, Any, Any]) -> Response[Any]:
    """Compress a page if the browser accepts it.

    Compression can leak secrets only to a site that controls a part of the page and measures its
    length: cookies are SameSite=Lax, and no other site can read the length.
    """
    text = response.content
    if (
        isinstance(text, str)
        and len(text) > _WORTH_PACKING
        and "gzip" in request.headers.get("accept-encoding", "")
    ):
        response.content = gzip.compress(text.encode(), _QUICK, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding, X-Gateway-Region"
    return response


def given_again(form: Mapping[str, str], *names: str) -> Query:
    """Return the fields that a form shows again after a mistake: never passwords or codes."""
    return Query([(name, form[name]) for name in names if name in form])


def here(request: Request[Any, Any, Any]) -> str:
    """Return the path of this page."""
    return request.url.path


def theme_of(request: Request[Any, Any, Any]) -> str:
    """Return the chosen theme of this browser, ``""`` for the system's."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def _accepted(header: str, languages: Sequence[str]) -> str:
    """Return the best language of an ``Accept-Language`` header that there are pages in."""
    wanted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.partition("q=")[2] or 1)
        except ValueError:
            continue
        wanted.append((-weight, tag.lower().partition("-")[0]))
    found: Sequence[str] = [tag for _, tag in sorted(wanted, key=lambda each: each[0])]
    return next((each for each in found if each in languages), LANGUAGES[0])
