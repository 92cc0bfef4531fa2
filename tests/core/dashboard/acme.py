"""A plugin with pages, made in a folder: its class, template, texts and a static file.

Nothing here knows pytest.
"""

import asyncio
import importlib
import sys

import msgspec

from gateway.errors import InvalidInput, Problem
from gateway.plugin import (
    ATTENTION,
    SOURCES,
    Action,
    AttentionItem,
    AttentionSource,
    Badge,
    Download,
    EventType,
    OrderSource,
    Page,
    Panel,
    Permission,
    SeeOther,
    Template,
    Undo,
    hookimpl,
)

STOCK = """{% extends "page.html" %}
{% block acts %}<a class="btn" href="{{ url('stock/7') }}">{{ _("Open") }}</a>{% endblock %}
{% block content %}
<p id="said">{{ _("Stock of the day") }}: {{ count }} {{ person.name }} {{ site or "-" }}</p>
{% block list %}
<section id="list"><h2>{{ _("Stock of the day") }}</h2>{{ count }}</section>{% endblock %}
<form method="post" action="{{ url('stock') }}">{{ ui.field("name", _("Name")) }}
{{ ui.checks("kind", _("Kind"), [("a", "A"), ("b", "B")]) }}
<input name="pin" value="{{ given.pin }}"></form>
<img src="{{ static('acme/box.svg') }}" alt="">
{% for each in panels %}{{ each }}{% endfor %}
{% endblock %}
"""
BESIDE = '<section class="panel"><h2>{{ _("Stock of the day") }}</h2>{{ subject }}</section>'


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class Acme:
    """Pages that work, fail, and never end."""

    api_version = 1
    Settings = NoSettings

    def __init__(self):
        self.seen = []
        self.never = asyncio.Event()
        self.badge_calls = 0

    @hookimpl
    def permissions(self):
        return [Permission("acme.stock", "See the stock.", ("manager", "pharmacist"))]

    @hookimpl
    def pages(self):
        read = "acme.stock"
        return [
            Page(
                path="stock", title="Stock", permission=read, section="orders", icon="i-box",
                handler=self.stock, badge=self.badge,
                actions=(
                    Action(path="", permission=read, handler=self.add, secret=("pin",)),
                    Action(path="close", permission=read, handler=self.close, step_up=True),
                    Action(path="undo", permission=read, handler=self.close),
                ),
            ),
            Page(path="stock/{item_id}", title="Item", permission=read, parent="stock",
                 handler=self.item),
            Page(path="broken", title="Broken", permission=read, handler=self.broken),
            Page(path="late", title="Late", permission=read, handler=self.late),
            Page(path="report", title="Report", permission=read, handler=self.report),
        ]  # fmt: skip

    @hookimpl
    def panels(self, place):
        def panel(name, handler):
            return Panel(name=name, permission="acme.stock", handler=handler)

        own = [panel("beside", self.beside), panel("bad", self.bad), panel("slow", self.slow)]
        return own if place == "package" else []

    @hookimpl
    def event_types(self):
        return [
            EventType(
                type="acme.counted", meaning="Counted.", sample={}, schema={},
                headline="Stock counted", icon="i-box", state="ok",
            )
        ]  # fmt: skip

    @hookimpl
    def extensions(self, point):
        if point == SOURCES:
            return [OrderSource("acme", "Wholesaler")]
        return [AttentionSource("acme", "acme.stock", self.low)] if point == ATTENTION else []

    async def low(self, _caller):
        message = "{count} drugs are low."
        values = {"count": "2"}
        return [
            AttentionItem(
                "acme_low", "stock", message.format(**values), page="stock", button="Order more",
                count=2, message=message, values=values,
            )
        ]  # fmt: skip

    async def stock(self, request):
        self.seen.append(request)
        panels = ("package", "pkg_1") if request.query.get("panels") else None
        return Template("acme/stock.html", {"count": request.formats.number(1482)}, panels=panels)

    async def add(self, request):
        form = await request.form()
        self.seen.append(form)
        if not form.get("name"):
            raise InvalidInput("Name it.", [Problem("is missing", field="name")])
        return SeeOther(
            "stock?sort=age", toast="Added.", undo=Undo("stock/undo", "Undo", {"id": "7"})
        )

    async def close(self, request):
        self.seen.append(await request.form())
        return SeeOther("stock", toast="Closed.")

    async def item(self, request):
        self.seen.append(request)
        return Template("acme/stock.html", {"count": request.path["item_id"]}, title="Item 7")

    async def broken(self, request):
        raise ZeroDivisionError(request.person.name)

    async def late(self, _request):
        await self.never.wait()

    async def report(self, _request):
        return Download("stock é.csv", "text/csv; charset=utf-8", b"a,b\r\n")

    async def badge(self, _caller):
        self.badge_calls += 1
        return Badge(3, "low", "warn")

    async def beside(self, _request, subject):
        return Template("acme/beside.html", {"subject": subject})

    async def bad(self, _request, _subject):
        raise ZeroDivisionError

    async def slow(self, _request, _subject):
        await self.never.wait()


def package_in(folder, monkeypatch, *, stock=STOCK):
    """Write the package ``acme_pages`` and return the plugin, which seems to be its class."""
    package = folder / "acme_pages"
    for each in ("templates", "static", "locales/fr/LC_MESSAGES"):
        (package / each).mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "templates/stock.html").write_text(stock)
    (package / "templates/beside.html").write_text(BESIDE)
    (package / "templates/page.html").write_text("not the layout")
    (package / "static/box.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    texts = {
        "Stock of the day": "Stock du jour", "Stock": "Stock FR", "Orders": "stolen",
        "{count} drugs are low.": "{count} médicaments manquent.", "Order more": "En commander",
        "Stock counted": "Stock compté", "Wholesaler": "Grossiste",
    }  # fmt: skip
    _write_mo(package / "locales/fr/LC_MESSAGES/acme.mo", texts)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "acme_pages", raising=False)
    importlib.invalidate_caches()
    importlib.import_module("acme_pages")
    monkeypatch.setattr(Acme, "__module__", "acme_pages")
    return Acme()


def _write_mo(path, texts):
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo

    catalog = Catalog(locale="fr")
    for one, other in texts.items():
        catalog.add(one, other)
    with path.open("wb") as file:
        write_mo(file, catalog)
