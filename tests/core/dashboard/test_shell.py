"""The shell: search behind a token, preferences, compression, texts, no inline code."""

import gzip
import re
from importlib import resources

import pytest

from gateway.testing.pages import source_faults, template_faults

pytestmark = pytest.mark.pages

PACKAGE = resources.files("gateway.dashboard")
LARGEST_FIRST_LOAD = 60 * 1024
LARGEST_PAGE = 20 * 1024
LARGEST_SCRIPT = 12 * 1024


@pytest.fixture
async def running(harness):
    async with harness("") as opened:
        yield opened


@pytest.fixture
async def owner(running):
    return await running.sign_in()


async def test_what_is_searched_for_stands_in_no_address_and_is_one_persons(running, owner):
    answer = await owner.post("/dashboard/search", {"q": "RX-8872341"})
    token = answer.headers["location"].removeprefix("/dashboard/packages?found=")

    server = PageMemoriesOf(running)
    assert "8872341" not in answer.headers["location"]
    assert await server.recall(owner, token) == "RX-8872341"
    other = await running.sign_in("pharmacist")
    assert await server.recall(other, token) is None


class PageMemoriesOf:
    def __init__(self, running):
        from gateway.dashboard.page_memory import PageMemories

        gateway = running.gateway
        self._gateway = gateway
        self._memory = PageMemories(gateway.database, gateway.identity, gateway.clock)

    async def recall(self, browser, token):
        signed_in = await self._gateway.identity.sessions.find(browser.cookies["session"])
        return await self._memory.recall(signed_in.row.person_id, token)


async def test_nothing_is_not_searched_for(owner):
    answer = await owner.post("/dashboard/search", {"q": "   "})

    assert answer.status_code == 400
    assert "There is nothing to search for." in answer.text


async def test_a_browser_keeps_its_appearance_and_whether_single_keys_work(owner):
    before = await owner.get("/dashboard/me")
    await owner.post(
        "/dashboard/preferences",
        {"theme": "dark", "shortcuts": "off", "next": "https://evil.example/"},
    )
    after = await owner.get("/dashboard/me")

    assert "data-theme" not in before.text
    assert "data-no-keys" not in before.text
    assert '<html lang="en" data-theme="dark">' in after.text
    assert "data-no-keys" in after.text


async def test_the_first_load_is_small_and_later_pages_smaller(owner):
    packed = {"Accept-Encoding": "gzip"}
    page = await owner.get("/dashboard/me", packed)
    addresses = set(re.findall(r'(?:href|src)="(/dashboard/static/[^"]+)"', page.text))
    sizes = {}
    for address in addresses:
        answer = await owner.get(address, packed)
        assert answer.headers["content-encoding"] == "gzip"
        sizes[address] = int(answer.headers["content-length"])

    assert len(sizes) >= 3
    assert page.headers["content-encoding"] == "gzip"
    assert int(page.headers["content-length"]) < LARGEST_PAGE
    assert int(page.headers["content-length"]) + sum(sizes.values()) < LARGEST_FIRST_LOAD


def test_the_script_is_small():
    script = PACKAGE.joinpath("static/live.js").read_bytes()

    assert len(gzip.compress(script)) <= LARGEST_SCRIPT


def test_the_cores_templates_have_no_inline_code_and_every_text_can_be_translated():
    assert list(template_faults("gateway.dashboard")) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('<p style="color: red">x</p>', "inline code or style: style="),
        ("<button onclick='x()'>.</button>", "inline code or style: onclick="),
        ("<script>alert()</script>", "inline code or style: <script"),
        ("<p>{{ name|safe }}</p>", "switches escaping off"),
        ("<p>Hello</p>", "a text that is not translated: Hello"),
        ('<a title="Hello">{{ name }}</a>', "a text that is not translated: Hello"),
        ("<p>{% if x %}Bonjour{% endif %}</p>", "a text that is not translated: Bonjour"),
    ],
)
def test_a_template_with_a_fault_is_found(source, fault):
    assert fault in list(source_faults(source))


@pytest.mark.parametrize(
    "source",
    [
        '<p>{{ _("Hello") }} <code>gateway serve</code> <kbd>Enter</kbd> rx-gateway</p>',
        "<p>{% trans %}Hello{% endtrans %} &amp; &nbsp;</p>",
        '<script type="module" src="{{ static(\'a.js\') }}"></script>',
    ],
)
def test_a_template_without_fault_passes(source):
    assert list(source_faults(source)) == []
