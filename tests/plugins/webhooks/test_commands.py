"""``gateway endpoints …`` without a server: what is printed, as JSON and for people; exit codes."""

import asyncio
import json
import re

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.runtime import Gateway
from gateway.settings import load_settings

pytestmark = pytest.mark.slow

CONFIGURATION = """
[plugins.json_api]
[plugins.webhooks]
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
"""
URL = "http://127.0.0.1:9/hooks"
KEYS = [
    "id",
    "url",
    "format",
    "events",
    "site",
    "description",
    "header_names",
    "max_per_second",
    "max_in_flight",
    "ordered",
    "status",
    "status_reason",
    "mode",
    "created_at",
    "last_success_at",
    "failing_since",
    "breaker",
    "rotation_ends_at",
    "secret_since",
]
KEYS_WITH_SECRET = ["id", "secret", *KEYS[1:]]


class CommandLine:
    """The command line in this process, on a configuration of the test's own."""

    def __init__(self, config):
        self.config = config

    def run(self, *words, code=0):
        return self.main("endpoints", *words, code=code)

    def main(self, *words, code=0):
        arguments = [*words, "--config", str(self.config)]
        done = CliRunner().invoke(main, arguments, prog_name="gateway", catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def add(self, *words):
        return self.json("add", URL, *words)

    def refused(self, *words):
        done = self.run(*words, code=1)
        assert done.stdout == ""
        return done.stderr


@pytest.fixture
def gateway(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIGURATION, "utf-8")
    return CommandLine(config)


def test_add_prints_id_and_secret_first_and_once(gateway):
    done = gateway.run(
        "add",
        URL,
        "--format",
        "autorx",
        "--events",
        "delivery.*, rx.completed,",
        "--site",
        "main",
        "--name",
        "Zoé's board",
        "--ordered",
        "--json",
    )
    added = json.loads(done.stdout)
    assert list(added) == KEYS_WITH_SECRET
    assert done.stderr == "Keep the secret: it is not shown again.\n"
    assert re.fullmatch(r"dst_[0-9a-f]{32}", added["id"])
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", added["secret"])
    assert {name: added[name] for name in ("url", "format", "events", "site", "description")} == {
        "url": URL,
        "format": "autorx",
        "events": ["delivery.*", "rx.completed"],
        "site": "main",
        "description": "Zoé's board",
    }
    assert (added["ordered"], added["mode"], added["status"]) == (True, "live", "active")
    shown = gateway.run("show", added["id"], "--json").stdout
    listed = gateway.run("list", "--json").stdout
    del added["secret"]
    assert json.loads(shown) == added
    assert json.loads(listed) == [added]
    assert "whsec_" not in shown + listed


def test_add_says_it_to_people_too(gateway):
    printed = gateway.run("add", URL).stdout
    lines = dict(re.split(r" {2,}", line, maxsplit=1) for line in printed.splitlines()[:-1])
    before, after = KEYS_WITH_SECRET[:-3], KEYS_WITH_SECRET[-2:]
    breaker = ["breaker.state", "breaker.failures", "breaker.opened_at", "breaker.next_try_at"]
    assert list(lines) == [*before, *breaker, *after]
    assert lines["secret"].startswith("whsec_")
    assert (lines["url"], lines["format"], lines["events"]) == (URL, "scriptrun", "*")
    assert printed.splitlines()[-1] == "Keep the secret: it is not shown again."


def test_list_prints_a_table(gateway):
    first = gateway.add("--events", "delivery.*,rx.*", "--site", "main")
    second = gateway.add("--format", "standard")
    lines = [re.split(r" {2,}", line) for line in gateway.run("list").stdout.splitlines()]
    assert lines == [
        ["id", "url", "format", "events", "site", "status", "failing since", "last success at"],
        [first["id"], URL, "scriptrun", "delivery.*, rx.*", "main", "active", "-", "-"],
        [second["id"], URL, "standard", "*", "-", "active", "-", "-"],
    ]


def test_list_says_when_there_is_nothing(gateway):
    gateway.main("migrate")

    assert gateway.run("list").stdout == "Nothing to show.\n"
    assert gateway.json("list") == []


def test_test_data_and_other_accounts_are_looked_at_when_asked_for(gateway):
    live, test = gateway.add(), gateway.add("--test")
    gateway.main("keys", "create", "--name", "theirs", "--account", "another")
    other = gateway.add("--account", "another")
    assert (live["mode"], test["mode"]) == ("live", "test")
    assert [each["id"] for each in gateway.json("list")] == [live["id"]]
    assert [each["id"] for each in gateway.json("list", "--test")] == [test["id"]]
    assert [each["id"] for each in gateway.json("list", "--account", "another")] == [other["id"]]
    assert gateway.refused("show", test["id"]) == "gateway: There is no such endpoint.\n"
    assert gateway.json("show", test["id"], "--test")["id"] == test["id"]


def test_an_endpoint_is_paused_disabled_and_enabled(gateway):
    endpoint_id = gateway.add()["id"]
    for name, status, reason in (
        ("pause", "paused", None),
        ("disable", "disabled", "by_operator"),
        ("enable", "active", None),
    ):
        after = gateway.json(name, endpoint_id)
        missed_since = after.pop("missed_since", None)
        assert (missed_since is not None) is (name == "enable")
        assert list(after) == KEYS
        assert (after["status"], after["status_reason"]) == (status, reason)
        assert gateway.json("show", endpoint_id) == after
    printed = gateway.run("disable", endpoint_id).stdout
    assert re.search(r"^status +disabled$", printed, re.MULTILINE)


def test_enabling_offers_to_recover_missed_events(gateway):
    endpoint_id = gateway.add()["id"]
    nothing_missed = gateway.run("enable", endpoint_id).stdout
    assert "recover" not in nothing_missed
    gateway.run("disable", endpoint_id)
    printed = gateway.run("enable", endpoint_id).stdout
    offer = re.search(r"gateway (deliveries recover --endpoint \S+ --since \S+)$", printed.strip())
    assert endpoint_id in offer[1]
    gateway.main(*offer[1].split())


def test_a_secret_is_rotated_and_the_rotation_finished(gateway):
    added = gateway.add()
    rotated = gateway.json("rotate", added["id"], "--overlap-hours", "1.5")
    assert list(rotated) == KEYS_WITH_SECRET
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != added["secret"]
    assert rotated["rotation_ends_at"] is not None
    assert gateway.refused("rotate", added["id"]) == (
        "gateway: A rotation is already running; finish it, then start another.\n"
    )
    finished = gateway.json("rotate", added["id"], "--finish")
    assert list(finished) == KEYS
    assert finished["rotation_ends_at"] is None
    assert gateway.refused("rotate", added["id"], "--finish") == (
        "gateway: No rotation is running; start one first.\n"
    )


def test_a_rotation_says_its_new_secret_to_people_too(gateway):
    endpoint_id = gateway.add()["id"]
    printed = gateway.run("rotate", endpoint_id).stdout
    assert re.search(r"^secret +whsec_\S{44}$", printed, re.MULTILINE)
    assert printed.endswith("\nKeep the secret: it is not shown again.\n")
    assert "whsec_" not in gateway.run("rotate", endpoint_id, "--finish").stdout


def test_an_endpoint_is_removed(gateway):
    first, second = gateway.add()["id"], gateway.add()["id"]
    assert gateway.json("remove", first) == {"id": first, "removed": True}
    assert gateway.run("remove", second).stdout == f"id       {second}\nremoved  yes\n"
    assert gateway.json("list") == []
    assert gateway.refused("remove", first) == "gateway: There is no such endpoint.\n"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "dst_0"),
        ("test", "dst_0"),
        ("rotate", "dst_0"),
        ("rotate", "dst_0", "--finish"),
        ("enable", "dst_0"),
        ("disable", "dst_0"),
        ("pause", "dst_0"),
        ("remove", "dst_0"),
    ],
    ids=" ".join,
)
def test_an_unknown_id_exits_with_1(gateway, words):
    gateway.main("migrate")

    assert gateway.refused(*words) == "gateway: There is no such endpoint.\n"


def test_an_invalid_endpoint_exits_with_1_and_every_reason(gateway):
    assert gateway.refused("add", "ftp://example.com/") == (
        "gateway: The endpoint's URL can't be used: begin it with https:// "
        "(http:// needs allow_http = true under [delivery]).\n"
        "  url: begin it with https:// (http:// needs allow_http = true under [delivery])\n"
    )
    assert gateway.refused("add", URL, "--events", " ,", "--name", "n" * 201) == (
        "gateway: The endpoint has faults.\n"
        "  events takes patterns such as *, delivery.* or package.created\n"
        "  description has more than 200 characters\n"
    )
    assert gateway.refused("add", URL, "--site", "nowhere") == (
        "gateway: The endpoint has faults.\n"
        "  unknown site; use the code of one of the account's sites in gateway.toml\n"
    )
    assert gateway.json("list") == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("add",),
        ("add", URL, "more"),
        ("add", URL, "--format", "xml"),
        ("list", "--nonsense"),
        ("show",),
        ("rotate", "dst_0", "--overlap-hours", "long"),
        ("explode", "dst_0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(gateway, words):
    assert gateway.run(*words, code=2).stdout == ""


def test_without_a_server_a_test_event_stays_pending_and_that_is_no_success(gateway):
    endpoint_id = gateway.add()["id"]
    delivery = gateway.json("test", endpoint_id, "--wait", "0.05", code=1)
    assert (delivery["state"], delivery["attempts"]) == ("pending", [])
    assert (delivery["endpoint_id"], delivery["event"]) == (endpoint_id, "webhook.test")
    done = gateway.run("test", endpoint_id, "--wait", "0.05", code=1)
    assert re.fullmatch(r"dlv_[0-9a-f]{32} is pending\n", done.stdout)
    reason = "gateway: No attempt was made yet: check that gateway serve is running.\n"
    assert done.stderr == reason


def test_an_endpoint_for_an_account_that_is_not_there_is_refused(gateway):
    assert gateway.refused("add", URL, "--account", "tpyo") == (
        "gateway: There is no such account; create a key for it first (gateway keys create).\n"
    )
    assert gateway.json("list", "--account", "tpyo") == []


def test_an_account_that_has_a_site_is_there_before_its_first_key(gateway):
    banner = '[[sites]]\naccount = "banner"\ncode = "north"\nname = "Northside"\n'
    gateway.config.write_text(CONFIGURATION + banner, "utf-8")
    added = gateway.add("--account", "banner", "--site", "north")
    assert added["site"] == "north"


def test_a_disabled_endpoint_is_not_tested(gateway):
    endpoint_id = gateway.add()["id"]
    gateway.run("disable", endpoint_id)
    assert gateway.refused("test", endpoint_id) == (
        "gateway: The endpoint is disabled; enable it, then test it.\n"
    )


def test_the_audit_trail_names_the_operator(gateway):
    endpoint_id = gateway.add()["id"]
    gateway.run("remove", endpoint_id)

    async def trail():
        query = f"SELECT actor, action FROM audit WHERE subject = '{endpoint_id}'"
        async with (
            Gateway(load_settings(gateway.config, {})) as opened,
            opened.database.read() as connection,
        ):
            return (await connection.exec_driver_sql(query)).all()

    actors, actions = zip(*asyncio.run(trail()), strict=True)
    assert actions == ("endpoint.added", "endpoint.removed")
    assert all(actor.startswith("cli:") for actor in actors)


def test_set_changes_what_is_given_and_keeps_the_rest(gateway):
    added = gateway.json("add", URL, "--events", "delivery.*", "--site", "main")
    changed = gateway.json("set", added["id"], "--url", f"{URL}/new", "--max-per-second", "5")

    assert (changed["url"], changed["max_per_second"]) == (f"{URL}/new", 5.0)
    assert (changed["events"], changed["site"]) == (["delivery.*"], "main")
    everywhere = gateway.json("set", added["id"], "--every-site", "--max-per-second", "0")
    assert (everywhere["site"], everywhere["max_per_second"]) == (None, None)


def test_set_without_a_change_is_wrong_usage(gateway):
    added = gateway.json("add", URL)

    assert "Nothing to change" in gateway.run("set", added["id"], code=2).output


def test_set_refuses_a_pattern_that_matches_nothing(gateway):
    added = gateway.json("add", URL)

    said = gateway.run("set", added["id"], "--events", "delivery.complete", code=1).output
    assert "did you mean delivery.completed?" in said
