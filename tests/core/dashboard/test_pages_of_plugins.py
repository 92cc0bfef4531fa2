"""Pages and panels of a plugin: shown, guarded, failing alone; what actions do to a page."""

import re

import pytest
from core.dashboard.acme import package_in

from gateway.dashboard import badges
from gateway.dashboard.rendering import POLICY
from gateway.errors import PluginError
from gateway.plugin import DEFAULT_ACCOUNT, Action, EventDraft, Page, hookimpl, new_id

pytestmark = pytest.mark.pages

TOML = """
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/Toronto"
[[sites]]
code = "queen"
name = "Queen Street"
timezone = "America/Toronto"
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    return package_in(tmp_path, monkeypatch)


@pytest.fixture
async def running(harness, acme):
    made = harness(TOML)
    made.gateway.hooks.register(acme, "acme")
    async with made as opened:
        yield opened


@pytest.fixture
async def hurried(harness, acme):
    made = harness(TOML + "[dashboard]\npage_ms = 50\n")
    made.gateway.hooks.register(acme, "acme")
    async with made as opened:
        yield opened


@pytest.fixture
async def owner(running):
    return await running.sign_in()


async def test_a_page_is_shown_for_live_and_for_test_data_with_all_that_stands_around_it(
    owner, acme
):
    live = await owner.get("/dashboard/stock")
    test = await owner.get("/dashboard/test/stock?site=queen")

    assert live.status_code == 200
    assert "<h1>Stock</h1>" in live.text
    assert "1,482" in live.text
    assert 'data-mode="live"' in live.text
    assert re.search(r'href="/dashboard/stock" aria-current="page"', live.text)
    assert live.headers["content-security-policy"] == POLICY
    assert live.headers["cache-control"] == "no-store"
    assert "Test mode" in test.text
    assert 'href="/dashboard/test/stock/7?site=queen"' in test.text
    assert [each.caller.mode for each in acme.seen] == ["live", "test"]
    assert [each.caller.sites for each in acme.seen] == [None, frozenset({"queen"})]
    assert acme.seen[1].formats.zone == "America/Toronto"


async def test_a_page_of_another_role_is_refused_and_not_in_the_navigation(running, acme):
    dispatcher = await running.sign_in("dispatcher")

    refused = await dispatcher.get("/dashboard/stock")
    posted = await dispatcher.post("/dashboard/stock", {"name": "x"})
    own = await dispatcher.get("/dashboard/me")

    assert (refused.status_code, posted.status_code) == (403, 403)
    assert "lacks the permission acme.stock" in refused.text
    assert "Not yours to see" in refused.text
    assert "/dashboard/stock" not in own.text
    assert acme.seen == []


async def test_a_site_of_others_is_no_site(running):
    manager = await running.sign_in("manager", sites=["queen"])

    assert (await manager.get("/dashboard/stock?site=queen")).status_code == 200
    assert (await manager.get("/dashboard/stock?site=lakeside")).status_code == 404
    assert (await manager.get("/dashboard/stock?site=nowhere")).status_code == 404


async def test_a_page_speaks_the_readers_language_and_a_plugin_changes_none_of_the_cores_texts(
    running,
):
    reader = await running.sign_in(language="fr")

    page = await reader.get("/dashboard/stock")

    assert '<html lang="fr">' in page.text
    assert "Stock du jour" in page.text
    assert "<h1>Stock FR</h1>" in page.text
    assert "1\u202f482" in page.text
    assert "stolen" not in page.text


async def test_a_page_that_raises_fails_alone_and_names_its_plugin(running, owner):
    failed = await owner.get("/dashboard/broken")

    assert failed.status_code == 500
    assert "The plugin acme could not make it" in failed.text
    assert re.search(r"<code>[0-9a-f]{16}</code>", failed.text)
    assert "ZeroDivisionError" not in failed.text
    assert running.gateway.hooks.failures["acme", "pages"] == 1
    assert (await owner.get("/dashboard/stock")).status_code == 200


async def test_a_page_that_takes_too_long_fails_alone(hurried):
    owner = await hurried.sign_in()

    late = await owner.get("/dashboard/late")

    assert late.status_code == 503
    assert "The plugin acme could not make it" in late.text
    assert hurried.gateway.hooks.failures["acme", "pages"] == 1


async def test_panels_that_raise_or_are_late_fail_alone(hurried):
    owner = await hurried.sign_in()

    page = await owner.get("/dashboard/stock?panels=1")

    assert page.status_code == 200
    assert '<section class="panel"><h2>Stock of the day</h2>pkg_1</section>' in page.text
    assert page.text.count("The panel of the plugin acme could not be shown.") == 2
    assert hurried.gateway.hooks.failures["acme", "panels"] == 2


async def test_a_template_of_a_plugin_replaces_none_of_the_cores(owner):
    page = await owner.get("/dashboard/stock")

    assert "not the layout" not in page.text
    assert "</nav>" in page.text


async def test_an_action_goes_on_to_a_page_that_says_once_what_was_done(owner, acme):
    done = await owner.post(
        "/dashboard/test/stock?site=queen", {"name": "Gauze", "kind": ["", "a"]}
    )
    shown = await owner.get(done.headers["location"])
    again = await owner.get(done.headers["location"])

    assert done.status_code == 303
    assert done.headers["location"] == "/dashboard/test/stock?sort=age&site=queen"
    assert acme.seen[0].all("kind") == ["", "a"]
    assert "<span>Added.</span>" in shown.text
    assert 'action="/dashboard/test/stock/undo?site=queen"' in shown.text
    assert "Added." not in again.text


async def test_a_refused_form_is_shown_again_with_what_was_typed_but_no_secret(owner):
    given = {"name": "", "kind": ["", "b"], "pin": "7788"}
    refused = await owner.post("/dashboard/stock", given)

    assert refused.status_code == 400
    assert "<b>Name it.</b>" in refused.text
    assert (
        'id="f-name" name="name" type="text" value="" data-keep aria-invalid="true"' in refused.text
    )
    assert re.search(r'value="b" checked', refused.text)
    assert not re.search(r'value="a" checked', refused.text)
    assert "7788" not in refused.text


async def test_what_was_typed_returns_after_a_factor_was_asked_for(harness, acme, tmp_path):
    from gateway.clock import SteppingClock

    clock = SteppingClock()
    made = harness(TOML, clock=clock)
    made.gateway.hooks.register(acme, "acme")
    async with made as opened:
        owner = await opened.sign_in()
        clock.step(6 * 60)
        asked = await owner.post("/dashboard/stock/close", {"name": "Typed", "code": "123456"})
        page = await owner.get("/dashboard/stock")
        again = await owner.get("/dashboard/stock")

    assert asked.headers["location"] == "/dashboard/confirm?next=/dashboard/stock"
    assert acme.seen[0].given.get("name") == "Typed"
    assert 'value="Typed"' in page.text
    assert "What you typed before is back." in page.text
    assert "123456" not in page.text
    assert 'value="Typed"' not in again.text


async def test_a_form_of_another_site_does_nothing(owner, acme):
    answer = await owner.post(
        "/dashboard/stock", {"name": "x"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip

    assert answer.status_code == 403
    assert acme.seen == []


async def test_a_region_is_made_alone(owner, acme):
    part = await owner.get("/dashboard/stock", {"X-Gateway-Region": "list"})
    none = await owner.get("/dashboard/stock", {"X-Gateway-Region": "list,nothing"})
    refused = await owner.post("/dashboard/stock", {"name": ""}, {"X-Gateway-Region": "list"})

    assert part.text == '<section id="list"><h2>Stock of the day</h2>1,482</section>'
    assert acme.seen[0].region == ("list",)
    assert "</nav>" in none.text
    assert refused.status_code == 400
    assert refused.headers["x-gateway-problem"] == "Name%20it.%20is%20missing"


async def test_a_badge_is_asked_for_once_while_it_is_kept(owner, acme, monkeypatch):
    # On a busy machine a page may take longer than a badge is kept, or waited for.
    monkeypatch.setattr(badges, "KEPT_SECONDS", 3600.0)
    monkeypatch.setattr(badges, "_PATIENCE_SECONDS", 120.0)
    first = await owner.get("/dashboard/stock")
    await owner.get("/dashboard/me")

    assert '<span class="badge" data-s="warn">3<span class="vh"> low</span></span>' in first.text
    assert acme.badge_calls == 1


async def test_a_file_is_a_download_with_the_headers_of_pages(owner):
    answer = await owner.get("/dashboard/report")

    assert answer.content == b"a,b\r\n"
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''stock%20%C3%A9.csv"
    )
    assert answer.headers["cache-control"] == "no-store"


async def test_static_files_have_the_plugins_name_and_are_kept_by_version(owner):
    page = await owner.get("/dashboard/stock")
    address = re.search(r'src="(/dashboard/static/acme/box.svg\?v=\w+)"', page.text)[1]

    kept = await owner.get(address)
    asked_again = await owner.get(address.split("?")[0])
    tag = {"If-None-Match": kept.headers["etag"]}

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "image/svg+xml"
    assert asked_again.headers["cache-control"] == "public, no-cache"
    assert (await owner.get(address, tag)).status_code == 304
    assert (await owner.get("/dashboard/static/acme/none.svg")).status_code == 404


async def test_an_address_without_a_page_says_so(owner):
    answer = await owner.get("/dashboard/no/such/page")

    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert "</nav>" in answer.text


async def test_a_form_that_is_too_large_is_refused_on_a_page(owner):
    answer = await owner.post("/dashboard/me", {"name": "a" * 70_000})

    assert answer.status_code == 413
    assert "at most 64 KB" in answer.text
    assert "</nav>" in answer.text
    assert (await owner.post("/dashboard/me/nothing", {"a": "b"})).status_code == 404


class Wrong:
    def __init__(self, *pages):
        self._pages = pages

    @hookimpl
    def pages(self):
        return list(self._pages)


def page(path="stock", permission="packages.read", **more):
    return Page(path=path, title="T", permission=permission, handler=None, **more)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([page(path="me")], "which the core keeps"),
        ([page(path="static/x")], "which the core keeps"),
        ([page(), page()], "a second time"),
        ([page(path="a/{b}"), page(path="a/{c}")], "a second time"),
        ([page(path="search")], "a second time"),
        ([page(permission=())], "without a permission"),
        ([page(actions=(Action(path="x", permission=(), handler=None),))], "no permission"),
        ([page(path="../x")], "a path has parts"),
        ([page(path="a/{b}", section="orders")], "with a section"),
        ([page(parent="nowhere")], "there is none"),
        ([page(permission="acme.none")], "which no plugin brings"),
    ],
)  # fmt: skip
async def test_a_wrong_page_stops_the_start(harness, wrong, why):
    made = harness("")
    made.gateway.hooks.register(Wrong(*wrong), "acme")

    with pytest.raises(PluginError, match=re.escape(why)):
        async with made:
            pass


async def test_the_cores_pages_say_a_plugins_attention_events_and_sources_in_the_readers_language(
    running,
):
    """The texts are in the plugin's catalog, and the core knows none of them."""
    reader = await running.sign_in(language="fr")
    gateway = running.gateway
    now = gateway.clock.now()
    counted = EventDraft(
        id=new_id("evt", now),
        type="acme.counted",
        account_id=DEFAULT_ACCOUNT,
        mode="live",
        subject="stock-7",
        data={},
        occurred_at=now,
        actor="acme",
    )
    async with gateway.database.begin() as connection:
        await gateway.publisher.record(connection, [counted], now)

    today = (await reader.get("/dashboard")).text
    events = (await reader.get("/dashboard/events")).text
    packages = (await reader.get("/dashboard/packages")).text

    assert "médicaments manquent." in today
    assert "En commander" in today
    assert "Stock compté" in events
    assert ">Grossiste</option>" in packages
