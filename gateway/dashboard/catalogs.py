"""The texts of the pages in the reader's language: gettext catalogs, the core's before a plugin's.

A package has its catalogs in ``locales/<language>/LC_MESSAGES/*.mo``; all of them count, so that
each family of pages can have one of its own.
"""

import gettext
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from typing import Final

from gateway.model.person import LANGUAGES

SOURCE: Final = LANGUAGES[0]
"""The language that the texts are written in."""


def catalog(language: str, packages: Sequence[Traversable]) -> gettext.NullTranslations:
    """Return the texts of a language: for each text, of the first package that has it."""
    texts = gettext.NullTranslations()
    if language == SOURCE:
        return texts
    found: gettext.NullTranslations | None = None
    for package in packages:
        for file in _files(package, language):
            with file.open("rb") as opened:
                read = gettext.GNUTranslations(opened)
            if found is None:
                found = read
            else:
                found.add_fallback(read)
    return found or texts


def _files(package: Traversable, language: str) -> list[Traversable]:
    folder = package / "locales" / language / "LC_MESSAGES"
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if each.name.endswith(".mo")]
    return sorted(found, key=lambda each: each.name)
