"""Checks of a plugin's pages: permission named, no inline code, every text translatable.

Each function yields faults as sentences.
"""

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from jinja2 import Environment

from gateway.auth.roles import Permissions
from gateway.dashboard.registry import needs
from gateway.hooks import Hooks
from gateway.model.permission import ANY_CALLER
from gateway.model.person import LANGUAGES
from gateway.sdk.pages import PANEL_PLACES, Page
from gateway.testing.harness import GatewayHarness

_INLINE: Final = re.compile(
    r"\sstyle\s*=|\son[a-z]+\s*=|<style\b|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE
)
_UNSAFE: Final = re.compile(r"\|\s*safe\b|\bautoescape\s+false\b")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_VERBATIM: Final = re.compile(r"<(code|kbd|svg|pre)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"\b(?:aria-label|title|placeholder|alt)=\"([^\"]*)\"")
_TAG: Final = re.compile(r"<[^>]*>")
_ENTITY: Final = re.compile(r"&[a-z#0-9]+;")
_WORD: Final = re.compile(r"[A-Za-zÀ-ÿ]{2,}")
_NAMES: Final = frozenset({"rx", "gateway", "Rx"})
_HOLE: Final = "\0"


def permission_faults(hooks: Hooks, permissions: Permissions) -> Iterator[str]:
    """Check that pages, their actions and panels name existing permissions."""
    named = [
        (f"the page {page.path!r}", each)
        for _, pages in hooks.pages()
        for page in pages
        for each in (page.permission, *(action.permission for action in page.actions))
    ]
    named += [
        (f"the panel {panel.name!r}", panel.permission)
        for place in PANEL_PLACES
        for _, panels in hooks.panels(place)
        for panel in panels
    ]
    for record, permission in named:
        wanted = needs(permission)
        unknown = sorted({*wanted} - permissions.names - {ANY_CALLER})
        if not wanted:
            yield f"{record} names no permission"
        elif unknown:
            yield f"{record} needs {', '.join(unknown)}, which no plugin brings"


def template_faults(package: str) -> Iterator[str]:
    """Check a package's templates: no inline script or style, no text outside the catalogs."""
    for name, source in _templates(resources.files(package).joinpath("templates")):
        yield from (f"{name}: {each}" for each in source_faults(source))


def source_faults(source: str) -> Iterator[str]:
    """Check one template."""
    found = _INLINE.search(source)
    if found is not None:
        yield f"inline code or style: {found.group().strip()}"
    if _UNSAFE.search(source):
        yield "switches escaping off"
    for text in untranslated(source):
        yield f"a text that is not translated: {text}"


def untranslated(source: str) -> Iterator[str]:
    """Yield the untranslatable words of a template."""
    parts: list[str] = []
    is_translated = False
    words: list[str] = []
    for _, kind, value in Environment(autoescape=True).lex(source):
        if kind == "data":
            parts.append(_HOLE if is_translated else value)
        elif kind == "block_end":
            is_translated = words[:1] == ["trans"] or (is_translated and words[:1] != ["endtrans"])
            words = []
            parts.append(_HOLE)
        elif kind == "name":
            words.append(value)
        elif kind in {"variable_begin", "block_begin"}:
            words = []
            parts.append(_HOLE)
    text = _VERBATIM.sub("", _COMMENT.sub("", "".join(parts)))
    said = [found.group(1) for found in _ATTRIBUTE.finditer(text)]
    for each in (*said, _TAG.sub(" ", text)):
        for word in _WORD.findall(_ENTITY.sub(" ", each.replace(_HOLE, ""))):
            if word not in _NAMES:
                yield word


async def shown_faults(gateway: GatewayHarness, pages: Sequence[Page]) -> list[str]:
    """Request each page without parameters as an owner, in each language and both modes."""
    browser = await gateway.sign_in()
    faults: list[str] = []
    for page in pages:
        if "{" in page.path or page.step_up:
            continue
        for address in (f"/dashboard/{page.path}", f"/dashboard/test/{page.path}"):
            for language in LANGUAGES:
                answer = await browser.get(address, {"Accept-Language": language})
                if answer.is_redirect:
                    continue
                if not answer.is_success:
                    faults.append(f"{address} answers {answer.status_code} in {language}")
                elif _INLINE.search(answer.text):
                    faults.append(f"{address} has inline code or style")
    return faults


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir():
            yield from _templates(each, f"{prefix}{each.name}/")
        elif each.name.endswith(".html"):
            yield prefix + each.name, each.read_text("utf-8")
