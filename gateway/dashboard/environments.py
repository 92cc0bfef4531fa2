"""The Jinja2 environments of the pages: one for each language and plugin, made when it is needed.

Imported with the first page: Jinja2 takes two megabytes and 80 ms, and a gateway may show none.
"""

import gettext
from collections.abc import Callable, Mapping
from importlib import resources
from types import CodeType
from typing import Any, Final

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    ChoiceLoader,
    Environment,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
)
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

_KEPT_TEXTS: Final = 5000


class Environments:
    """The environments of the templates of ``packages``, by plugin; the core's is ``""``.

    ``shared`` are values that all templates have.
    """

    def __init__(self, packages: Mapping[str, str], shared: Mapping[str, Any]) -> None:
        prefixed: dict[str, BaseLoader] = {
            name: PackageLoader(package)
            for name, package in packages.items()
            if name and resources.files(package).joinpath("templates").is_dir()
        }
        self._loader = ChoiceLoader([PackageLoader(packages[""]), PrefixLoader(prefixed)])
        self._code = _SharedCode()
        self._shared = shared
        self._made: dict[tuple[str, str], Environment] = {}

    def of(self, plugin: str, language: str, texts: gettext.NullTranslations) -> Environment:
        """Return the environment of a plugin and language; ``texts`` are theirs."""
        made = self._made.get((plugin, language))
        if made is None:
            made = self._made[plugin, language] = self._environment(texts)
        return made

    def _environment(self, texts: gettext.NullTranslations) -> Environment:
        made = Environment(
            loader=self._loader,
            bytecode_cache=self._code,
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
        )
        made.policies["ext.i18n.trimmed"] = True
        made.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]  # the extension's
        made.globals["gettext"] = made.globals["_"] = _spoken(texts)
        made.globals.update(self._shared)
        made.filters["initials"] = initials
        made.filters["with_code"] = with_code
        return made


class _SharedCode(BytecodeCache):
    """The code of each template, compiled once for all languages and plugins."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, CodeType | None]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template the code that another environment made of the same source."""
        checksum, code = self._kept.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template's code."""
        self._kept[bucket.key] = bucket.checksum, bucket.code


def _spoken(texts: gettext.NullTranslations) -> Callable[..., Markup]:
    """Return the ``_`` of templates: as the extension's own, but each text is looked up once.

    A list calls it for every cell. As there, a text is a format: ``%%`` is a per cent sign.
    """
    formats: dict[str, Markup] = {}
    plain: dict[str, Markup] = {}

    def spoken(text: str, /, **values: Any) -> Markup:
        if not values and (found := plain.get(text)) is not None:
            return found
        form = formats.get(text)
        if form is None:
            form = Markup(texts.gettext(text))  # noqa: S704 - texts of the catalogs, as there
            if len(formats) < _KEPT_TEXTS:
                formats[text] = form
        made = form % values
        if not values and len(plain) < _KEPT_TEXTS:
            plain[text] = made
        return made

    return spoken


def with_code(text: str) -> Markup:
    """Return a sentence in which what is in backticks is code, as the reference writes it."""
    parts = str(escape(text)).split("`")
    if len(parts) == 1 or len(parts) % 2 == 0:  # none, or one without its partner
        return Markup(escape(text))  # noqa: S704 - escaped
    made = [f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)]
    return Markup(f"<span data-text>{''.join(made)}</span>")  # noqa: S704 - escaped


def initials(name: str) -> str:
    """Return the initials of a person's name: ``AO``."""
    words = [each for each in name.split() if each]
    return "".join(each[0] for each in (words[:1] + words[1:][-1:])).upper()
