"""What a plugin's author gets wrong is said in one sentence, wherever it is looked for.

In ``gateway check``, in ``gateway plugins check``, in the log (or what ends the start), and in the
contract suite that the author runs.
"""

import json
import logging
import textwrap

import pytest
from core.cli.findings import problems

from gateway.errors import GatewayError
from gateway.runtime import Gateway
from gateway.settings import load_settings
from gateway.testing import PluginContract
from gateway.testing.harness import GatewayHarness

HEAD = """
from pathlib import Path

import msgspec
from litestar import Router, get, post
from sqlalchemy import Column, MetaData, Table, Text

from gateway.plugin import API_VERSION, HealthCheck, HealthReport, Job, PluginTables, Sink, hookimpl


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str = ""


async def nothing(*_anything):
    pass


class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        self.gateway = gateway

"""


def written(body: str, head: str = HEAD) -> str:
    return head + textwrap.indent(textwrap.dedent(body), "    ")


NO_PAUSE = written("""
@hookimpl
def jobs(self):
    return [Job("acme-poll", nothing, every_seconds=0)]
""")
NO_MARK = written("""
def jobs(self):
    return []
""")
THAWED = HEAD.replace("frozen=True, ", "")
NO_SUCH_HOOK = written("""
@hookimpl
def event_recorded(self, events):
    pass
""")
ANNOTATED = written(
    """
@hookimpl
def http_routers(self):
    return [Router("/api/acme", route_handlers=[show, take])]
""",
    HEAD.replace(
        "class Plugin:",
        '@get("/show", summary="Show", opt={"permission": "any"})\nasync def show() -> None:\n'
        '    """Show it."""\n\n\n@post("/take", summary="Take", opt={"permission": "any"})\n'
        'async def take(order: "Ordr") -> None:\n    """Take it."""\n\n\nclass Plugin:',
    ),
)
OF_THE_CORE = written(
    """
@hookimpl
def http_routers(self):
    return [Router("/health", route_handlers=[live])]
""",
    HEAD.replace(
        "class Plugin:",
        '@get("/live", summary="Live", opt={"public": True})\nasync def live() -> None:\n'
        '    """Live."""\n\n\nclass Plugin:',
    ),
)
NO_PREFIX = written("""
@hookimpl
def tables(self):
    made = MetaData()
    Table("orders_in", made, Column("id", Text, primary_key=True))
    return PluginTables(made, Path(__file__).parent / "migrations")
""")
TWO_SINKS = written("""
@hookimpl
def sinks(self):
    return [Sink("erp", Settings, nothing), Sink("erp", Settings, nothing)]
""")
TOO_EARLY = HEAD.replace("self.gateway = gateway", "self.store = gateway.database")

FOREIGN_NAME = written(
    """
@hookimpl
def lifespan(self):
    self.state = PluginState("csv", self.gateway)
    return [Inbox("acme", self.gateway, nothing)]
""",
    HEAD.replace("HealthCheck,", "HealthCheck, Inbox, PluginState,"),
)

ROWS = {
    "every_seconds": (
        NO_PAUSE,
        (
            "plugin acme has the job acme-poll with every_seconds = 0: it would never pause; give "
            "a number above 0"
        ),
    ),
    "no hookimpl": (
        NO_MARK,
        "jobs is named like a hook and has no @hookimpl, so it is never called",
    ),
    "not frozen": (
        THAWED,
        "Settings is not frozen=True: settings never change while the gateway runs",
    ),
    "no such hook": (
        NO_SUCH_HOOK,
        "event_recorded is no hook; did you mean events_recorded?",
    ),
    "annotation": (
        ANNOTATED,
        (
            "plugin acme: POST /api/acme/take (vendor_acme.py:24 in take) can't be served: "
            "name 'Ordr' is not defined (NameError)"
        ),
    ),
    "address": (
        OF_THE_CORE,
        (
            "plugin acme: GET /health/live (vendor_acme.py:19 in live) is an address of the core: "
            "choose another one"
        ),
    ),
    "prefix": (
        NO_PREFIX,
        "plugin acme: the table orders_in doesn't begin with acme_: call it acme_orders_in",
    ),
    "sink": (TWO_SINKS, "plugin acme brings the sink erp twice: take one of them out"),
    "not open": (
        TOO_EARLY,
        (
            "gateway.database is not open yet: use it in lifespan, or in the function of a record "
            "that a hook returns"
        ),
    ),
}


class Contract(PluginContract):
    """The contract suite for the plugin ``acme``; its tests are called one by one below."""

    name = "acme"
    configuration = "[plugins.acme]\n"


async def said_by_contract(config, make_harness) -> str:
    """Return what the tests of the contract suite that look for such faults say."""
    contract = Contract()
    said = []
    gateway = make_harness("[plugins.acme]\n")
    try:
        contract.test_it_starts("acme", gateway)
        plugin_class = contract.plugin_class.__wrapped__(contract, "acme")
        contract.test_its_settings_are_frozen_and_refuse_unknown_keys(plugin_class)
        contract.test_its_hooks_have_the_right_arguments_and_are_not_async(plugin_class)
        contract.test_its_names_are_unique("acme", config.parent)
    except (AssertionError, GatewayError) as error:
        said.append(" ".join(str(error).split()))
    return " ".join(said)


async def said_by_start(config) -> str:
    """Return what a start raises; the log has the rest."""
    try:
        gateway = GatewayHarness(load_settings(config, {}))
        async with gateway:
            pass
    except GatewayError as error:
        return error.message
    return ""


@pytest.mark.parametrize("row", ROWS)
def test_a_fault_of_a_plugin_has_its_sentence_in_check_and_plugins_check(run, config, install, row):
    source, sentence = ROWS[row]
    install("acme", source)
    config.write_text("[plugins.acme]\n")

    found = [message for _, message in problems(run("check", "--json"))]
    alone = json.loads(run("plugins", "check", "acme", "--json").stdout)

    assert [each for each in found if sentence in each], found
    assert [each for each in alone["problems"] if sentence in each["message"]], alone
    assert alone["ok"] is False
    assert "0x" not in str(found)


@pytest.mark.parametrize("row", ROWS)
async def test_a_fault_of_a_plugin_has_its_sentence_in_the_log_and_the_contract_suite(
    config, install, harness, caplog, row
):
    source, sentence = ROWS[row]
    install("acme", source)
    config.write_text("[plugins.acme]\n")
    caplog.set_level(logging.WARNING)

    started = await said_by_start(config)
    contracted = await said_by_contract(config, harness)

    assert sentence in started + caplog.text
    assert sentence.replace("\n", " ") in contracted.replace("\\n", " ") + caplog.text


def test_two_plugins_with_one_address_are_both_named_with_their_places(run, config, install):
    here = OF_THE_CORE.replace('"/health"', '"/api/erp"')
    install("acme", here)
    install("erp", here)
    config.write_text("[plugins.acme]\n[plugins.erp]\n")
    sentence = (
        "plugin acme (vendor_acme.py:19 in live) and plugin erp (vendor_erp.py:19 in live) both "
        "bring GET /api/erp/live: change one of the addresses"
    )

    assert problems(run("check", "--json")) == [("[plugins]", sentence)]
    alone = json.loads(run("plugins", "check", "erp", "--json").stdout)
    assert [each["message"] for each in alone["problems"]] == [sentence]


def test_what_a_plugin_keeps_under_the_name_of_another_is_said(run, config, install, harness):
    install("acme", FOREIGN_NAME)
    config.write_text("[plugins.acme]\n")
    sentence = (
        "PluginState (vendor_acme.py:29) is made for the plugin csv: give it this plugin's name, "
        "acme"
    )

    found = [message for _, message in problems(run("check", "--json"))]
    alone = json.loads(run("plugins", "check", "acme", "--json").stdout)

    assert [each for each in found if sentence in each], found
    assert [each for each in alone["problems"] if sentence in each["message"]], alone
    contract = Contract()
    with pytest.raises(AssertionError, match="is made for the plugin csv"):
        contract.test_its_stored_data_is_under_its_own_name("acme")
    with pytest.raises(AssertionError, match="the inbox of acme has no job"):
        contract.test_its_inboxes_have_their_jobs(harness("[plugins.acme]\n"))


def test_a_missing_secret_leaves_its_plugin_out_and_stops_no_command(run, config, install):
    install("acme", HEAD)
    config.write_text('[plugins.json_api]\n[plugins.acme]\ntoken = { env = "ACME_TOKEN" }\n')
    reason = "gateway.toml: [plugins.acme] token: the environment variable ACME_TOKEN is not set"

    run("migrate")
    keys = run("keys", "list")
    listed = json.loads(run("plugins", "list", "--json").stdout)

    assert keys.exit_code == 0, keys.stderr
    assert {each["name"]: each["health"] for each in listed if each["enabled"]} == {
        "acme": reason,
        "json_api": "ok",
    }
    assert problems(run("check", "--json")) == [
        ("[plugins.acme] token", "the environment variable ACME_TOKEN is not set")
    ]


def test_a_missing_secret_and_a_mistyped_key_are_named_together(run, config, install):
    install("acme", HEAD)
    config.write_text('[plugins.acme]\ntoken = { env = "ACME_TOKEN" }\ntokn = 1\n')

    assert problems(run("check", "--json")) == [
        ("[plugins.acme] token", "the environment variable ACME_TOKEN is not set"),
        ("[plugins.acme] tokn", "unknown key; did you mean token?"),
    ]


def test_every_wrong_value_is_listed_once_with_what_may_have_been_meant(run, config):
    config.write_text('[gateway]\nport = "x"\nhots = "a"\n[logging]\nformat = "jsn"\n')

    result = run("keys", "list")

    assert (result.exit_code, result.stderr.splitlines()) == (
        1,
        [
            "gateway: gateway.toml has 3 problems:",
            "  [gateway] hots: unknown key; did you mean host?",
            "  [gateway] port: expected a whole number, got text",
            '  [logging] format: expected one of "json", "text"; did you mean "json"?',
        ],
    )


def test_a_part_that_only_an_open_gateway_has_is_named(config):
    gateway = Gateway(load_settings(config, {}))

    with pytest.raises(AttributeError, match=r"^gateway\.database is not open yet: use it in"):
        _ = gateway.database
    with pytest.raises(AttributeError, match=r"the gateway has no clok; did you mean clock\?"):
        _ = gateway.clok


SINK = written("""
@hookimpl
def sinks(self):
    return [Sink("erp", Settings, nothing)]
""")


def test_destinations_of_a_plugin_that_is_off_are_a_problem_with_a_remedy(
    run, config, install, stock, caplog
):
    install("acme", SINK)
    config.write_text("[plugins.json_api]\n[plugins.acme]\n")
    stock.endpoint(sink="erp")
    assert problems(run("check", "--json")) == []

    config.write_text("[plugins.json_api]\n[plugins.acme]\nenabled = false\n")
    sentence = (
        "1 destination gets nothing, and deliveries wait: no enabled plugin brings the sink erp; "
        "enable it again, or disable or remove what gateway destinations list --sink erp shows"
    )

    assert problems(run("check", "--json")) == [("[plugins]", sentence)]
    assert f"{sentence}." in run("attention").stdout
    assert sentence in stock.do(started)
    assert sentence in caplog.messages


async def started(gateway) -> str:
    """Run the engine for a moment; returns what ``/health/ready`` says of the plugins."""
    from gateway.health.readiness import readiness

    async with gateway.running():
        return (await readiness(gateway))["plugins"].detail
