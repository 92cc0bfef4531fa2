"""The catalogs of every stock package: whole, compiled, and in the words of the glossary."""

import re
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.mofile import read_mo

from gateway.auth.roles import CORE, ROLES
from gateway.dashboard import news
from gateway.dashboard.rendering import NAMES, Layout
from gateway.model.person import LANGUAGES
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.testing.catalogs import catalogs_of, missing
from gateway.testing.catalogs import texts_of as marked_texts_of

ROOT = Path(__file__).parents[3]
CORE_PAGES = Path(str(resources.files("gateway.dashboard")))
STOCK = sorted(each for each in (ROOT / "plugins").iterdir() if each.is_dir())
SENTENCE_WORDS = 4
# Captions of tables and links that both need.
COMMON = {"Who saw a patient", "Leave it as it is", "As a CSV file"}
PLUGINS = sorted(each.parent for each in ROOT.glob("plugins/*/*/locales"))
PACKAGES = [CORE_PAGES, ROOT / "gateway/demo", *PLUGINS]
TRANSLATED = LANGUAGES[1:]
COMMAND = re.compile(r"<code>.*?</code>|gateway\.toml|gateway people")
NUMBER = re.compile(r"\b(N\.º|n°)", re.IGNORECASE)
VALUE = re.compile(r"%\(\w+\)s|\{\w*\}|%%n|</?\w+>")

every_language = pytest.mark.parametrize("language", TRANSLATED)
every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda each: each.name)


def texts_of(package, language):
    return [
        (forms_of(each.id), forms_of(each.string))
        for catalog in catalogs_of(package, language).values()
        for each in catalog
        if each.id
    ]


def forms_of(text):
    return [text] if isinstance(text, str) else list(text)


def test_the_packages_with_pages_have_catalogs():
    assert {each.name for each in PACKAGES} >= {"dashboard", "gateway_csv", "gateway_webhooks"}
    pages = [each for each in ROOT.glob("plugins/*/*/templates/*.html") if is_page(each)]
    assert {each.parents[1] for each in pages} <= set(PACKAGES)
    assert [code for code, _ in NAMES] == list(LANGUAGES)


def is_page(template):
    return '{% extends "page.html" %}' in template.read_text("utf-8")


@every_language
@every_package
def test_each_text_of_a_package_is_translated(package, language):
    assert missing(package, language) == []
    assert [one for one, said in texts_of(package, language) if not all(said)] == []


@every_language
def test_roles_and_permissions_are_translated(language):
    layout = Layout()
    spoken = [*(role.replace("_", " ") for role in ROLES), *(each.meaning for each in CORE)]

    assert [each for each in spoken if layout.text(language, each) == each] == []


@every_language
def test_the_meanings_of_events_are_translated(language, tmp_path):
    """A page shows them by ``_(event.meaning)``: no template has their text."""
    stock = every_stock_plugin(tmp_path)
    layout, catalog = Layout(stock.hooks.packages()), stock.catalog()

    assert {each.type.partition(".")[0] for each in catalog} >= {"package", "rx", "day", "email"}
    said = [said for each in catalog for said in (each.meaning, each.headline) if said]
    assert [each for each in said if layout.text(language, each) == each] == []


def test_every_event_of_a_stock_plugin_has_a_headline(tmp_path):
    types = every_stock_plugin(tmp_path).hooks.event_types()

    assert [each.type for each in types if not each.headline] == []


def test_the_core_has_no_text_of_a_stock_plugin(tmp_path):
    """The words of a plugin's events, orders and attention items are in its own catalog."""
    hooks = every_stock_plugin(tmp_path).hooks
    core = {str(each) for each in marked_texts_of(CORE_PAGES)}
    events = {each.headline for each in hooks.event_types()}
    sentences = {
        each
        for plugin in STOCK
        for each in marked_texts_of(plugin / f"gateway_{plugin.name}")
        if isinstance(each, str) and len(each.split()) >= SENTENCE_WORDS
    }

    assert "{count} orders wait for a person in the shop {shop}." in sentences
    assert core & (events | sentences) == COMMON
    assert {each.type for each in hooks.event_types()} & set(news.CORE_WORDS) == set()
    source = "".join(each.read_text("utf-8") for each in CORE_PAGES.rglob("*.py"))
    assert [each for each in hooks.order_sources() if f'"{each}": _(' in source] == []


def every_stock_plugin(folder):
    tables = "\n".join(f"[plugins.{each.name}]" for each in STOCK)
    mail = '[plugins.email]\nhost = "mail.example"\nfrom = "gateway@pharmacy.example"'
    toml = tables.replace("[plugins.email]", mail)
    return Gateway(parse_settings(toml, source=None, directory=folder, environ={}))


@every_package
def test_no_line_of_a_french_text_begins_with_a_mark(package):
    loose = [
        said
        for catalog in catalogs_of(package, "fr").values()
        for message in catalog
        if message.id
        for said in forms_of(message.string)
        if re.search(r" [:;?!»]|« ", said)
    ]

    assert loose == [], f"run python -m gateway.testing.catalogs {package}"


@every_language
@every_package
def test_a_catalog_is_compiled(package, language):
    for file in (package / "locales" / language / "LC_MESSAGES").glob("*.po"):
        with file.with_suffix(".mo").open("rb") as opened:
            compiled = {forms_of(each.id)[0]: forms_of(each.string) for each in read_mo(opened)}
        written = catalogs_of(package, language)[file.stem]

        assert {forms_of(each.id)[0]: forms_of(each.string) for each in written if each.id} == {
            key: said for key, said in compiled.items() if key
        }, f"run python -m gateway.testing.catalogs {package} for {file.name}"


@every_language
@every_package
def test_a_translation_holds_the_values_and_tags_of_its_text(package, language):
    """The one of a pair may say the number in words."""
    wrong = [
        (one[-1], said[-1])
        for one, said in texts_of(package, language)
        if sorted(VALUE.findall(one[-1])) != sorted(VALUE.findall(said[-1]))
        or not set(VALUE.findall(said[0])) <= set(VALUE.findall(one[-1]))
    ]

    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: each.name)
def test_a_text_of_a_template_doubles_its_per_cent_sign(package):
    """Jinja looks ``{% trans %}`` up with doubled signs, and takes ``_()`` for a format."""
    said = "".join(each.read_text("utf-8") for each in (package / "templates").glob("*.html"))

    assert re.findall(r"{%-? ?trans[^}]*%}[^{]*%[^{]*{%-? ?endtrans", said) == []
    assert re.findall(r"""\b_\(["'][^"']*(?<!%)%(?![%(])[^"']*["']""", said) == []


@every_language
def test_one_thing_has_one_word_in_a_language(language):
    wrong = []
    for english, *others in glossary():
        word = others[TRANSLATED.index(language)]
        named = re.compile(rf"\b{english}s?\b", re.IGNORECASE)
        wanted = re.compile(plural(word), re.IGNORECASE)
        wrong += [
            (word, one[-1], said[-1])
            for package in PACKAGES
            for one, said in texts_of(package, language)
            if named.search(VALUE.sub("", COMMAND.sub("", one[-1])))
            and not wanted.search(
                NUMBER.sub("numéro" if language == "fr" else "número", said[-1]).replace(
                    "'", "\N{RIGHT SINGLE QUOTATION MARK}"
                )
            )
        ]

    assert wrong == [], "\n".join(map(str, wrong))


def glossary():
    text = (ROOT / "docs/reference/glossary.md").read_text("utf-8")
    table = text.partition("| English |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert {len(row) for row in rows} == {len(LANGUAGES)}
    return rows


def plural(word):
    """Return a pattern of the word and its plural: ``quote(s)-part(s)``, ``extensi(ón|ones)``."""
    return r"\b" + re.sub(r"\w+", r"\g<0>(?:e?s)?", word).replace("ón(?:e?s)?", "(?:ón|ones)")
