"""How a page is made: Jinja2 with autoescape, the languages, and the headers of every page.

No inline script and no style attribute: the policy lets through nothing but files of the
gateway's own. What shows a person's data is never cached.
"""

import gettext
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response

from gateway.model.person import LANGUAGES

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
LANGUAGE_COOKIE: Final = "language"
NAMES: Final = (("en", "English"), ("fr", "Français"))
_DOMAIN: Final = "dashboard"
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Layout:
    """Renders the templates of this package, one environment for each language."""

    def __init__(self) -> None:
        folder = resources.files(__package__).joinpath("static")
        self.files = {
            each.name: (_TYPES[each.name.rpartition(".")[2]], each.read_bytes())
            for each in folder.iterdir()
            if each.name.rpartition(".")[2] in _TYPES
        }
        self._versions = {
            name: hashlib.sha256(content).hexdigest()[:12]
            for name, (_, content) in self.files.items()
        }
        self._texts = {language: _catalog(language) for language in LANGUAGES}
        self._environments = {
            language: self._environment(catalog) for language, catalog in self._texts.items()
        }

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        status: int = 200,
        *,
        language: str | None = None,
        **context: Any,
    ) -> Response[str]:
        """Render a page in the reader's language; ``language`` is the signed-in person's."""
        lang = language or self.language_of(request)
        values = {"problem": None, "details": (), "given": _NOTHING, **context}
        if values["problem"] is not None:  # sentences of errors: the catalog has those of pages
            values["problem"] = self.text(lang, values["problem"])
            values["details"] = [self.text(lang, each) for each in values["details"]]
        text = (
            self._environments[lang]
            .get_template(template)
            .render(lang=lang, languages=NAMES, here=here(request), **values)
        )
        return Response(
            text, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS
        )

    def text(self, language: str, message: str) -> str:
        """Return a sentence in a language."""
        return self._texts[language].gettext(message)

    def language_of(self, request: Request[Any, Any, Any]) -> str:
        """Return the language that this browser chose, or asks for."""
        chosen = request.cookies.get(LANGUAGE_COOKIE)
        if chosen in LANGUAGES:
            return str(chosen)
        return _accepted(request.headers.get("accept-language", ""))

    def _environment(self, catalog: gettext.NullTranslations) -> Environment:
        made = Environment(
            loader=PackageLoader(__package__ or "gateway.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
        )
        made.policies["ext.i18n.trimmed"] = True
        made.install_gettext_translations(catalog, newstyle=True)  # type: ignore[attr-defined]  # the extension's
        made.globals["static"] = lambda name: f"/dashboard/static/{name}?v={self._versions[name]}"
        return made


class _Given(dict[str, str]):
    """What was typed; empty where nothing was."""

    def __missing__(self, key: str) -> str:
        return ""


_NOTHING: Final[Mapping[str, str]] = _Given()


def given_again(form: Mapping[str, str], *names: str) -> Mapping[str, str]:
    """Return the fields that a form shows again after a mistake: never passwords or codes."""
    return _Given({name: form.get(name, "") for name in names})


def here(request: Request[Any, Any, Any]) -> str:
    """Return the path of this page."""
    return request.url.path


def _catalog(language: str) -> gettext.NullTranslations:
    if language == LANGUAGES[0]:
        return gettext.NullTranslations()
    place = resources.files(__package__).joinpath("locales", language, "LC_MESSAGES")
    with place.joinpath(f"{_DOMAIN}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def _accepted(header: str) -> str:
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
    return next((each for each in found if each in LANGUAGES), LANGUAGES[0])
