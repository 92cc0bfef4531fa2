"""Bring a package's catalogs up to date: ``python -m gateway.testing.catalogs FOLDER``.

FOLDER is the package's, with ``templates`` and ``locales``. The texts of its templates and Python
files are written to ``locales/<language>/LC_MESSAGES/<domain>.po`` of each language of the pages,
existing translations are kept, and the ``.mo`` is compiled. Texts that another catalog of the
package or of the gateway's own pages has are left out, so that a family of pages can have a catalog
of its own (``--domain keys --files 'key*'``).
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Final

import click
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment

from gateway.model.person import LANGUAGES

Text = str | tuple[str, str]

_ONE: Final = frozenset({"text", "gettext", "_"})
_MANY: Final = frozenset({"ntext", "ngettext"})
_TITLES: Final = {
    "Page": ("title",),
    "Badge": ("words",),
    "AttentionDetail": ("message",),
    "AttentionItem": ("message", "button"),
    "EventType": ("meaning", "headline"),
    "OrderSource": ("words",),
}
_WORDS_SECOND: Final = frozenset({"Badge", "OrderSource"})
_NO_DATE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MIGRATIONS: Final = "migrations"
_BEFORE_A_MARK: Final = re.compile(r" (?=[:;?!»])|(?<=«) ")
_PLURALS: Final = {"fr": "nplurals=2; plural=(n > 1);"}


def texts_of(package: Path, files: Sequence[str] = ("*",)) -> list[Text]:
    """Return the texts of a package's templates and Python files, in order, once each.

    ``files`` are patterns of the files' names without suffix: ``("keys*",)``.
    """
    environment = Environment(autoescape=True, extensions=["jinja2.ext.i18n"], trim_blocks=True)
    environment.policies["ext.i18n.trimmed"] = True
    found: dict[Text, None] = {}
    for file in _files(package / "templates", ".html", files):
        source = file.read_text("utf-8")
        for _, _, said in environment.extract_translations(source):  # type: ignore[attr-defined]  # the extension's
            if said is not None:  # the text of a variable is found where it is assigned
                found[_text(said)] = None
    for file in _files(package, ".py", files):
        if "migrations" in file.parts:
            continue
        for said in python_texts(ast.parse(file.read_text("utf-8"))):
            found[said] = None
    return list(found)


def _text(said: object) -> Text:
    """Return a text as Jinja extracts it, with ``None`` for a missing plural."""
    if not isinstance(said, tuple):
        return str(said)
    one, many = said[:2]
    return str(one) if many is None else (str(one), str(many))


def _files(folder: Path, suffix: str, patterns: Sequence[str]) -> list[Path]:
    return [
        each
        for each in sorted(folder.rglob(f"*{suffix}"))
        if any(fnmatch(each.stem, pattern) for pattern in patterns)
        and _MIGRATIONS not in each.parts  # their text() is SQL
    ]


def python_texts(tree: ast.AST) -> Iterator[Text]:
    """Yield the texts of ``text("…")`` and ``ntext("…", "…", n)``, and of records for pages."""
    # Another package's text("state = 'waiting'") isn't a text for people.
    foreign = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
        if (node.module or "").partition(".")[0] == "sqlalchemy"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in foreign:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        said = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
        strings = [each for each in said if isinstance(each, str)]
        if name in _ONE and said[:1] == strings[:1] and strings:
            yield strings[0]
        elif name in _MANY and said[:2] == strings[:2] and len(strings) > 1:
            yield strings[0], strings[1]
        for keyword in node.keywords:
            is_said = keyword.arg in _TITLES.get(name, ())
            if is_said and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                yield str(keyword.value.value)
        if name in _WORDS_SECOND and len(said) > 1 and isinstance(said[1], str):
            yield said[1]


def catalogs_of(package: Path, language: str) -> dict[str, Catalog]:
    """Return the catalogs that a package has, by domain."""
    folder = package / "locales" / language / "LC_MESSAGES"
    found = {}
    for file in sorted(folder.glob("*.po")):
        with file.open("rb") as opened:
            found[file.stem] = read_po(opened, locale=language)
    return found


def missing(package: Path, language: str) -> list[Text]:
    """Return the texts of a package that no catalog of it, or of the core's, translates."""
    done = {
        message.id
        for folder in {package, _core()}
        for each in catalogs_of(folder, language).values()
        for message in each
        if message.id and message.string and all(_strings(message.string))
    }
    known = {each[0] if isinstance(each, tuple) else each for each in done} | done
    return [each for each in texts_of(package) if each not in known]


def update(package: Path, language: str, domain: str, files: Sequence[str] = ("*",)) -> int:
    """Rewrite one catalog with the texts of ``files``; returns how many lack a translation."""
    every = catalogs_of(package, language)
    own = every.pop(domain, _empty(language))
    if package != _core():
        every |= {f"core {name}": each for name, each in catalogs_of(_core(), language).items()}
    others = {_key(message.id) for each in every.values() for message in each if message.id}
    fresh = _empty(language)
    kept = {_key(each.id): each for each in own if each.id}
    for text in texts_of(package, files):
        if _key(text) in others:
            continue
        old = kept.get(_key(text))
        fresh.add(text, None if old is None else old.string)
    written = {_key(each.id) for each in fresh if each.id}
    for key, old in kept.items():  # roles and sentences of errors aren't in templates
        if key not in written:
            fresh.add(old.id, old.string)
    folder = package / "locales" / language / "LC_MESSAGES"
    folder.mkdir(parents=True, exist_ok=True)
    typeset(fresh, language)
    with (folder / f"{domain}.po").open("wb") as file:
        file.write(_header(language).encode())
        write_po(file, fresh, omit_header=True, width=100)
    with (folder / f"{domain}.mo").open("wb") as file:
        write_mo(file, fresh)
    lacking = [each for each in fresh if each.id and not all(_strings(each.string))]
    for each in lacking:
        click.echo(f"{domain}: {each.id!r} has no translation", err=True)
    return len(lacking)


def typeset(catalog: Catalog, language: str) -> None:
    """Make the space before a French punctuation mark non-breaking."""
    if language != "fr":
        return
    for message in catalog:
        if message.id and message.string:
            bound = [
                _BEFORE_A_MARK.sub("\N{NO-BREAK SPACE}", each) for each in _strings(message.string)
            ]
            message.string = bound[0] if isinstance(message.string, str) else tuple(bound)


def _header(language: str) -> str:
    """Return the head of a catalog: babel's own has three plurals of French."""
    plurals = _PLURALS.get(language, "nplurals=2; plural=(n != 1);")
    lines = ("Content-Type: text/plain; charset=utf-8", f"Language: {language}",
             f"Plural-Forms: {plurals}")  # fmt: skip
    shown = "".join(f'"{line}\\n"\n' for line in lines)
    return (
        "# The .mo is made from this file: python -m gateway.testing.catalogs\n"
        f'msgid ""\nmsgstr ""\n{shown}\n'
    )


def _empty(language: str) -> Catalog:
    made = read_po(BytesIO(_header(language).encode()), locale=language)
    made.creation_date = made.revision_date = _NO_DATE  # the same texts are the same bytes
    return made


def _core() -> Path:
    return Path(str(resources.files("gateway.dashboard")))


def _key(text: object) -> str:
    return str(text[0]) if isinstance(text, (tuple, list)) else str(text)


def _strings(given: object) -> list[str]:
    return [str(each) for each in given] if isinstance(given, (tuple, list)) else [str(given)]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--domain", default="", help="The catalog's name; else the folder's.")
@click.option("--language", "languages", multiple=True, default=LANGUAGES[1:])
@click.option("--files", multiple=True, default=("*",), help="Names of files, as in keys*.")
def main(folder: Path, domain: str, languages: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Bring the catalogs of a package FOLDER up to date, and compile them."""
    package = folder.resolve()
    name = domain or package.name.removeprefix("gateway_")
    lacking = [update(package, language, name, files) for language in languages]
    sys.exit(any(lacking))


if __name__ == "__main__":
    main()
