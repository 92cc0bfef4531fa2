"""Pages of a plugin that raise, hang, send code, tear or never end: the others go on, it is named.

The browser's side, where a script must not run, is in tests/dashboard/test_pages_that_misbehave.py.
"""

import pytest
from core.dashboard.mischief import mischief_in

from gateway.dashboard.plugin_output import sends_code
from gateway.dashboard.rendering import POLICY
from gateway.sdk.records import InstalledPlugin

pytestmark = pytest.mark.pages

NAMED = "The plugin mischief could not make it"


@pytest.fixture
async def running(harness, tmp_path, monkeypatch):
    made = harness("[dashboard]\npage_ms = 100\n")
    made.plugin = mischief_in(tmp_path, monkeypatch)
    made.gateway.hooks.register(made.plugin, "mischief")
    async with made as opened:
        yield opened


@pytest.fixture
async def owner(running):
    return await running.sign_in()


def failures(running, hook="pages"):
    return running.gateway.hooks.failures["mischief", hook]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("raises", 500),
        ("torn", 500),
        ("huge", 500),
        ("huge-answer", 500),
        ("hangs", 503),
        ("gives-up", 503),
    ],
)
async def test_a_page_that_goes_wrong_is_a_note_that_names_its_plugin_and_the_others_work(
    running, owner, path, status
):
    failed = await owner.get(f"/dashboard/{path}")
    sound = await owner.get("/dashboard/sound")
    today = await owner.get("/dashboard")

    assert (failed.status_code, sound.status_code, today.status_code) == (status, 200, 200)
    assert NAMED in failed.text
    assert "</nav>" in failed.text
    assert failed.headers["content-security-policy"] == POLICY
    assert failures(running) == 1


async def test_a_page_without_an_end_is_left_after_two_million_characters(running, owner):
    failed = await owner.get("/dashboard/huge")

    assert failed.status_code == 500
    assert running.plugin.asked <= 2_100


async def test_a_region_without_an_end_fails_as_well(owner):
    part = await owner.get("/dashboard/huge", {"X-Gateway-Region": "content"})

    assert (part.status_code, NAMED in part.text) == (500, True)


async def test_a_page_that_hangs_after_its_action_was_refused_is_left(running, owner):
    answer = await owner.post("/dashboard/hangs-again", {})

    assert answer.status_code == 503
    assert NAMED in answer.text
    assert failures(running) == 1


async def test_code_in_a_page_is_said_on_it_counted_and_kept_out_by_the_policy(running, owner):
    page = await owner.get("/dashboard/scripted")

    assert page.status_code == 200
    assert page.headers["content-security-policy"] == POLICY
    assert "The plugin mischief put a script or a style into this page" in page.text
    assert failures(running) == 1


async def test_a_page_of_its_own_making_cannot_loosen_the_policy(owner):
    page = await owner.get("/dashboard/loose")

    assert page.headers["content-security-policy"] == f"{POLICY}, script-src 'unsafe-inline'"
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_panels_with_code_or_without_an_end_are_notes_on_a_page_that_works(running, owner):
    today = await owner.get("/dashboard")

    assert today.status_code == 200
    assert today.text.count("The panel of the plugin mischief could not be shown.") == 2
    assert "<script>1</script>" not in today.text
    assert failures(running, "panels") == 2


async def test_plugins_and_health_names_it_with_each_error_and_its_place(running, owner):
    known = InstalledPlugin("mischief", "gateway-mischief", "1.0", enabled=True)
    running.gateway.plugins.append(known)
    await owner.get("/dashboard/raises")
    await owner.get("/dashboard/torn")

    listed = await owner.get("/dashboard/plugins")
    own = await owner.get("/dashboard/plugins/mischief")

    assert "2 errors since the start" in listed.text
    assert "gateway-mischief 1.0" in listed.text
    assert '<code>pages</code></div><span class="badge" data-s="warn">2<' in own.text


@pytest.mark.parametrize(
    "text",
    [
        "<script>1</script>",
        '<script src="https://elsewhere.example/x.js"></script>',
        "<p onmouseover=x>",
        '<a\nstyle="color:red">',
        "<STYLE>p{}</STYLE>",
        '<a href="javascript:1">',
        "<form action='javascript:1'>",
    ],
)
def test_code_in_a_page_is_found(text):
    assert sends_code(f"<main>{text}</main>")


@pytest.mark.parametrize(
    "text",
    [
        '<script type="module" src="/dashboard/static/live.js?v=1"></script>',
        "<p>a style=x and onclick=y in a sentence</p>",
        '<p title="&lt;script&gt;">&lt;script&gt;1&lt;/script&gt;</p>',
        '<td class="style" data-on="1">',
    ],
)
def test_what_is_no_code_is_let_through(text):
    assert not sends_code(text)
