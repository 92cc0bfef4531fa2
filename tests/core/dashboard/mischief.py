"""A plugin whose pages go wrong in every way, made in a folder. Nothing here knows pytest."""

import asyncio
import importlib
import sys

import msgspec
from litestar import Response

from gateway.errors import InvalidInput
from gateway.plugin import Action, Page, Panel, Template, hookimpl

MARK = "the script ran"
TEMPLATES = {
    "sound.html": """{% extends "page.html" %}
{% block content %}
{% block list %}<section class="panel" id="list"><h2>{{ _("Sound") }}</h2></section>{% endblock %}
<form method="post" action="{{ url('hangs-again') }}"><button>{{ _("Send") }}</button></form>
{% endblock %}""",
    "scripted.html": f"""{{% extends "page.html" %}}
{{% block content %}}
<section class="panel" id="list" style="color: red"><h2>{{{{ _("Scripted") }}}}</h2>
<script>document.title = "{MARK}";</script>
<button id="pressed" onclick="document.title = '{MARK}'">{{{{ _("Press") }}}}</button>
<style>body {{ display: none }}</style></section>
{{% endblock %}}""",
    "torn.html": '{% extends "page.html" %}{% block content %}{{ nothing.here }}{% endblock %}',
    "huge.html": """{% extends "page.html" %}
{% block content %}{% for number in numbers %}<p>{{ number }}</p>{% endfor %}{% endblock %}""",
    "beside_scripted.html": "<section><script>1</script></section>",
    "beside_huge.html": "{% for number in numbers %}<p>{{ number }}</p>{% endfor %}",
}


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class Mischief:
    """Pages that raise, hang, send code, tear and never end; and one that is sound."""

    api_version = 1
    Settings = NoSettings

    def __init__(self):
        self.never = asyncio.Event()
        self.asked = 0
        self.is_hanging = False

    @hookimpl
    def pages(self):
        def page(path, handler, *actions):
            return Page(
                path=path, title=path, permission="packages.read", section="orders",
                handler=handler, actions=actions,
            )  # fmt: skip

        refuse = Action(path="", permission="packages.read", handler=self.refuse)
        return [
            page("sound", self.sound),
            page("raises", self.raises),
            page("hangs", self.hangs),
            page("gives-up", self.gives_up),
            page("hangs-again", self.hangs_again, refuse),
            page("scripted", self.template("scripted.html")),
            page("torn", self.template("torn.html")),
            page("huge", self.huge),
            page("huge-answer", self.huge_answer),
            page("loose", self.loose),
        ]

    @hookimpl
    def panels(self, place):
        names = ("beside_scripted.html", "beside_huge.html")
        if place != "today":
            return []
        return [Panel(name=name, permission="any", handler=self.panel(name)) for name in names]

    def template(self, name):
        async def show(_request):
            return Template(f"mischief/{name}")

        return show

    def panel(self, name):
        async def show(_request, _subject):
            return Template(f"mischief/{name}", {"numbers": self.numbers()})

        return show

    async def sound(self, _request):
        return Template("mischief/sound.html")

    async def raises(self, request):
        raise ZeroDivisionError(request.person.name)

    async def hangs(self, _request):
        await self.never.wait()

    async def gives_up(self, _request):
        try:
            await self.never.wait()
        except asyncio.CancelledError:
            raise ConnectionError("a library's own word for it") from None

    async def hangs_again(self, request):
        if request.problem is not None:
            await self.never.wait()
        return Template("mischief/sound.html")

    async def refuse(self, _request):
        raise InvalidInput("Never this one.")

    async def huge(self, _request):
        return Template("mischief/huge.html", {"numbers": self.numbers()})

    async def huge_answer(self, _request):
        return Response("x" * 5_000_000, media_type="text/html")

    async def loose(self, _request):
        loosened = {"content-security-policy": "script-src 'unsafe-inline'"}
        return Response(
            f"<h1>Loose</h1><script>document.title = '{MARK}'</script>",
            media_type="text/html",
            headers=loosened,
        )

    def numbers(self):
        """Yield without an end; ``asked`` counts how far a page went."""
        while True:
            self.asked += 1
            yield "9" * 1000


def mischief_in(folder, monkeypatch):
    """Write the package ``mischief_pages`` and return the plugin, which seems to be its class."""
    package = folder / "mischief_pages"
    (package / "templates").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name, source in TEMPLATES.items():
        (package / "templates" / name).write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mischief_pages", raising=False)
    importlib.invalidate_caches()
    importlib.import_module("mischief_pages")
    monkeypatch.setattr(Mischief, "__module__", "mischief_pages")
    return Mischief()
