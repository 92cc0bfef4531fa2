"""The pages Plugins and health, and Settings: each part green or red, each setting, no secret."""

import html
import re
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import update
from waiting import until

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.health.readiness import slow_plugins
from gateway.plugin import Arrival, HealthCheck, HealthReport, Inbox, hookimpl
from gateway.storage.schema import api_keys, audit, destinations
from gateway.storage.stores.installation import KEY_COPIED, LAST_BACKUP, note_fact

pytestmark = pytest.mark.pages

TOML = """
[plugins.json_api]
[plugins.webhooks]
[plugins.email]
host = "smtp.example.com"
password = "hunter2"
[plugins.no_such_plugin]
[[sites]]
code = "main"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
rules = "ontario"
[[sites]]
code = "west"
name = "Westside"
account = "other"
[plans.basic]
packages_per_month = 2000
endpoints = 1
[accounts.default]
plan = "basic"
"""


class Moody:
    """A plugin with a health check of its own."""

    def __init__(self):
        self.report = HealthReport(healthy=True, detail="the bridge answers")

    @hookimpl
    def health_checks(self):
        async def check():
            return self.report

        return [HealthCheck("moody", check, decides_readiness=False)]


def words_of(answer):
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))
    return text.replace(" ,", ",")


def rows_of(answer):
    """Return each part of the page: its name, whether it is red, and its words."""
    found = {}
    for row in re.findall(r'<li data-id="[^"]*".*?</li>', answer.text, re.DOTALL):
        name = html.unescape(re.search(r'data-id="([^"]*)"', row)[1])
        words = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", row))).strip()
        found[name] = ('data-s="bad"' in row, words)
    return found


@pytest.fixture
async def running(harness):
    clock = SteppingClock()
    made = harness(TOML, clock=clock)
    made.clock = clock
    made.moody = Moody()
    made.gateway.hooks.register(made.moody, "moody")
    async with made as opened:
        yield opened


async def test_each_part_is_green_or_red_with_the_command_that_helps(running):
    owner = await running.sign_in()
    rows = rows_of(await owner.get("/dashboard/plugins"))

    red = {name: words for name, (is_red, words) in rows.items() if is_red}
    assert {"server", "database", "key file", "engine", "disk", "endpoints", "clock"} <= set(rows)
    assert set(red) == {"plugins", "key copy", "backup"}
    assert "gateway seal copy FILE" in red["key copy"]
    assert "none was made yet What helps: gateway backup --keep 7" in red["backup"]
    assert "no_such_plugin" in red["plugins"]


async def test_what_gateway_check_says_of_the_installation_is_on_the_page(running):
    gateway, owner = running.gateway, await running.sign_in()
    await running.issue_key()
    cert = gateway.settings.gateway.data_dir / "cert.pem"
    cert.write_text("no certificate")
    http = msgspec.structs.replace(gateway.settings.http, tls_cert=cert)
    gateway.settings = msgspec.structs.replace(gateway.settings, http=http)
    rows = rows_of(await owner.get("/dashboard/plugins"))
    async with gateway.database.begin() as connection:
        await connection.execute(update(audit).values(action="nothing.happened"))
        await connection.execute(update(api_keys).values(name="Mine"))
    running.clock.step(61)
    later = rows_of(await owner.get("/dashboard/plugins"))

    green = {name for name, (is_red, _) in rows.items() if not is_red}
    assert {"settings", "data_dir", "redis", "files", "master key", "audit trail"} <= green
    assert rows["keys"] == (False, "works: Keys 1 active")
    assert rows["certificate"][0]
    assert "it is no PEM certificate What helps: gateway tls init NAME" in rows["certificate"][1]
    assert next(iter(rows)) in {name for name, (is_red, _) in rows.items() if is_red}
    assert later["audit trail"][0]
    assert "What helps: gateway audit verify" in later["audit trail"][1]
    assert later["keys"][0]
    assert "look for who can write the database" in later["keys"][1]


async def test_a_backup_and_a_copied_key_turn_green_and_an_old_backup_red_again(running):
    gateway, owner = running.gateway, await running.sign_in()
    now = gateway.clock.now()
    await note_fact(gateway.database, LAST_BACKUP, str(to_epoch_ms(now)))
    later = max(to_epoch_ms(now), gateway.master_key_path.stat().st_mtime_ns // 1_000_000 + 1)
    await note_fact(gateway.database, KEY_COPIED, str(later))
    fresh = rows_of(await owner.get("/dashboard/plugins"))
    running.clock.step(timedelta(hours=37).total_seconds())
    owner = await running.sign_in()
    old = rows_of(await owner.get("/dashboard/plugins"))

    assert (fresh["backup"][0], fresh["key copy"][0]) == (False, False)
    assert old["backup"][0]
    assert "the last one was made" in old["backup"][1]


async def test_a_failing_endpoint_is_named_since_when_with_the_way_to_it(running):
    gateway, owner = running.gateway, await running.sign_in()
    answer = await running.request(
        "POST", "/api/webhooks/endpoints",
        key=await running.issue_key(scopes=("webhooks",)),
        body=b'{"url": "https://hooks.example.com/x", "description": "Courier"}',
    )  # fmt: skip
    endpoint_id = answer.json()["id"]
    async with gateway.database.begin() as connection:
        since = to_epoch_ms(gateway.clock.now())
        await connection.execute(update(destinations).values(failing_since_ms=since))
    running.clock.step(5)
    shown = await owner.get("/dashboard/plugins")

    is_red, words = rows_of(shown)["endpoint Courier"]
    assert is_red
    assert "fails since" in words
    assert f'href="/dashboard/endpoints/{endpoint_id}"' in shown.text
    async with gateway.database.begin() as connection:
        await connection.execute(update(destinations).values(sink="carrier_pigeon"))
    running.clock.step(5)
    other = await owner.get("/dashboard/plugins")
    assert f"gateway destinations show {endpoint_id}" in rows_of(other)["destination Courier"][1]
    assert f"endpoints/{endpoint_id}" not in other.text, "no page of another sink's"


async def test_a_check_of_a_plugin_is_a_part_and_stands_on_the_plugins_page(running):
    owner = await running.sign_in()
    before = rows_of(await owner.get("/dashboard/plugins"))["moody"]
    running.moody.report = HealthReport(
        healthy=False, detail="nothing since 2026", command="ls x", message="nothing since {year}",
        values={"year": "2026"},
    )  # fmt: skip
    running.clock.step(3)
    after = rows_of(await owner.get("/dashboard/plugins"))["moody"]

    assert before == (False, "works: moody the bridge answers")
    assert after == (True, "needs a person: moody nothing since 2026 What helps: ls x")


@pytest.mark.parametrize("language", ["fr", "es"])
async def test_every_sentence_of_the_core_is_in_the_readers_language(running, language):
    english = rows_of(await (await running.sign_in()).get("/dashboard/plugins"))
    reader = await running.sign_in(language=language)
    shown = rows_of(await reader.get("/dashboard/plugins"))

    same = {name for name, (_, words) in shown.items() if words == english[name][1]}
    assert same == set()


async def test_a_plugin_that_failed_to_load_says_why_and_what_its_settings_are(running):
    owner = await running.sign_in()
    listed = words_of(await owner.get("/dashboard/plugins"))
    failed = words_of(await owner.get("/dashboard/plugins/no_such_plugin"))
    email = await owner.get("/dashboard/plugins/email")
    none = await owner.get("/dashboard/plugins/nothing")

    assert "no_such_plugin missing Failed to load" in listed
    assert "pip install it first" in failed
    assert "gateway plugins check no_such_plugin" in failed
    assert "host smtp.example.com gateway.toml" in words_of(email)
    assert "password ••••• gateway.toml" in words_of(email)
    assert "hunter2" not in email.text
    assert none.status_code == 404


async def test_a_plugins_page_says_what_it_brings_and_asks_for(running):
    owner = await running.sign_in()
    words = words_of(await owner.get("/dashboard/plugins/webhooks"))

    assert "http_routers" in words
    assert "deliveries.resend, webhooks.manage, webhooks.read" in words
    assert "webhooks-rotations every 1 min" in words


async def test_settings_show_usage_against_the_plan_sites_and_what_is_kept(running):
    owner = await running.sign_in()
    page = await owner.get("/dashboard/settings")
    words = words_of(page)

    assert page.status_code == 200
    assert "Packages this month 0 of 2,000" in words
    assert "Endpoints 0 of 1" in words
    assert "Lakeside main America/Toronto CA ontario" in words
    assert "Westside" not in words
    assert "Patient data of finished packages 90 days" in words
    assert "[limits]" in words
    assert "reveals_per_hour 60 default" in words
    assert "hunter2" not in page.text


async def test_a_limit_that_is_reached_says_what_happens_then(running):
    key = await running.issue_key(scopes=("webhooks",))
    await running.request(
        "POST", "/api/webhooks/endpoints", key=key, body=b'{"url": "https://hooks.example.com/x"}'
    )
    owner = await running.sign_in()
    words = words_of(await owner.get("/dashboard/settings"))

    assert "Endpoints 1 of 1 Used up New ones are refused; what exists goes on." in words


async def test_only_those_who_may_see_settings_see_both_pages(running):
    pharmacist = await running.sign_in("pharmacist")
    manager = await running.sign_in("manager")
    paths = ("/dashboard/plugins", "/dashboard/plugins/email", "/dashboard/settings")

    assert [(await pharmacist.get(each)).status_code for each in paths] == [403, 403, 403]
    assert [(await manager.get(each)).status_code for each in paths] == [200, 200, 200]


async def test_another_account_sees_its_own_usage_and_none_of_the_operators_settings(running):
    await running.request(
        "POST", "/api/webhooks/endpoints",
        key=await running.issue_key(scopes=("webhooks",)),
        body=b'{"url": "https://hooks.example.com/x", "description": "Courier"}',
    )  # fmt: skip
    async with running.gateway.database.begin() as connection:
        await connection.execute(update(destinations).values(failing_since_ms=1))
    other = await running.sign_in(account_id="other")
    pages = [
        await other.get(each)
        for each in ("/dashboard/plugins", "/dashboard/plugins/email", "/dashboard/settings")
    ]

    assert [each.status_code for each in pages] == [200, 200, 200]
    assert all("Courier" not in each.text for each in pages)
    assert all("smtp.example.com" not in each.text for each in pages)
    assert not {"data_dir", "settings", "keys", "audit trail"} & set(rows_of(pages[0]))
    assert "No plan: nothing is limited" in pages[2].text
    assert "Westside" in pages[2].text
    assert "Lakeside" not in words_of(pages[2])


async def test_a_plugin_that_was_slow_to_open_is_a_line_as_in_the_status(running):
    running.gateway.hooks.opening_seconds["moody"] = 2.0
    [line] = slow_plugins(running.gateway)
    owner = await running.sign_in()

    page = await owner.get("/dashboard/plugins")

    assert line.detail.startswith("took 2.0 s to open: each command of the command line waits")
    is_red, words = rows_of(page)["plugin moody"]
    assert is_red
    assert line.detail in words
    assert "What helps: gateway plugins check moody" in words
    assert 'href="/dashboard/plugins/moody"' in page.text


async def test_a_message_held_for_any_plugin_is_handled_again_or_erased_on_its_page(running):
    async def hold(message):
        return message.hold("no_address") if message.note is None else "created"

    inbox = Inbox("moody", running.gateway, hold)
    owner, driver = await running.sign_in(), await running.sign_in("driver")
    for key in ("A-1", "A-2"):
        await inbox.put(Arrival(key=key, body=b"{}", kind="order.created"))
    async with inbox:
        await inbox.worker.run()
        await until(lambda: are(inbox, running.caller(), "held"))

        page = await owner.get("/dashboard/inbox?plugin=moody")
        [second, first] = re.findall(r'<li data-id="(inb_\w+)"', page.text)
        assert words_of(page).count("no_address · order.created") == 2
        assert "Handle again" not in (await driver.get("/dashboard/inbox")).text

        released = await owner.post("/dashboard/inbox/release", {"id": first})
        erased = await owner.post("/dashboard/inbox/discard", {"id": second, "plugin": "moody"})

        assert (released.status_code, erased.status_code) == (303, 303)
        assert erased.headers["location"] == "/dashboard/inbox?plugin=moody"
        assert "No message is held" in (await owner.get("/dashboard/inbox")).text
        trail = (await owner.get("/dashboard/audit")).text
        assert ("inbox.released" in trail, "inbox.discarded" in trail) == (True, True)
        await inbox.worker.run()
        await until(lambda: are(inbox, running.caller(), "done"))


async def are(inbox, caller, state):
    found = await inbox.page(caller, states=("waiting", "held", "dead", "done"))
    return [each.state for each in found] == [state, state]
