"""``gateway plugins …``."""

import json

import pytest
from core.cli.vendors import MOODY, PULSE

from gateway.version import __version__

JSON_API = {
    "name": "json_api",
    "enabled": True,
    "version": __version__,
    "distribution": "rx-gateway",
    "health": "ok",
}


def test_every_installed_plugin_is_listed(read, config, install):
    install("pulse", PULSE)
    install("moody", "import acme_nowhere")
    config.write_text("[plugins.json_api]\n[plugins.moody]\n[plugins.absent]\n")

    rows = {row["name"]: row for row in read("plugins", "list")}

    assert rows["json_api"] == JSON_API
    assert rows["pulse"] == {
        "name": "pulse",
        "enabled": False,
        "version": "2.1",
        "distribution": "acme-pulse",
        "health": None,
    }
    assert rows["moody"]["health"] == (
        "can't be imported: ModuleNotFoundError: No module named 'acme_nowhere'"
    )
    assert (rows["absent"]["distribution"], rows["absent"]["version"]) == ("missing", None)


def test_a_person_gets_a_table(run):
    lines = run("plugins", "list").stdout.splitlines()

    assert lines[0].split() == ["name", "enabled", "version", "distribution", "health"]
    assert f"json_api  yes      {__version__}    rx-gateway    ok" in lines


def test_a_plugin_that_would_work_is_described(read, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\n")

    assert read("plugins", "check", "pulse") == {
        "name": "pulse",
        "distribution": "acme-pulse",
        "version": "2.1",
        "ok": True,
        "settings": "accepted",
        "hooks": ["cli_commands", "health_checks"],
        "health": [],
        "problems": [],
    }
    assert not (config.parent / "data").exists()


def test_its_health_checks_are_asked_once_the_database_is_there(read, config, install, stock):
    install("pulse", PULSE)
    install("moody", MOODY)
    config.write_text("[plugins.pulse]\n[plugins.json_api]\n")
    stock.order()

    assert read("plugins", "check", "pulse")["health"] == [
        {"name": "pulse", "ok": True, "detail": "60 a minute"}
    ]
    assert read("plugins", "check", "json_api")["health"] == []


SLOW = """
import asyncio

import msgspec
from gateway.plugin import API_VERSION, hookimpl

class Plugin:
    api_version = API_VERSION
    class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        pass

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def lifespan(self):
        return [self]

    async def __aenter__(self):
        await asyncio.sleep(1.01)

    async def __aexit__(self, *_error):
        pass
"""


def test_a_plugin_that_is_slow_to_open_fails_the_check(run, config, install, stock):
    config.write_text("[plugins.json_api]\n")
    stock.order()
    install("sleepy", SLOW)
    config.write_text("[plugins.sleepy]\n[plugins.json_api]\n")

    failed = run("plugins", "check", "sleepy")

    assert failed.exit_code == 1
    assert "plugin sleepy took 1.0 s to open" in failed.stdout


def test_an_unhealthy_plugin_fails_the_check(run, config, install, stock):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\nhealthy = false\n")
    stock.order()

    result = run("plugins", "check", "pulse")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "name          pulse",
        "distribution  acme-pulse",
        "version       2.1",
        "ok            no",
        "settings      accepted",
        "hooks         cli_commands, health_checks",
        "",
        "name   ok  detail",
        "pulse  no  60 a minute",
        "",
        "field            message",
        "[plugins.pulse]  health check pulse: 60 a minute",
    ]
    assert result.stderr == (
        "gateway: Plugin pulse would not work as it is; its problems are above.\n"
    )


@pytest.mark.parametrize(
    ("source", "settings", "expected"),
    [
        (
            PULSE,
            "rat = 1\nhealthy = 3",
            [
                ("[plugins.acme] rat", "unknown key; did you mean rate?"),
                ("[plugins.acme] healthy", "expected true or false, got a whole number"),
            ],
        ),
        (
            MOODY,
            "",
            [
                (
                    "[plugins]",
                    (
                        "plugin acme failed in jobs: no jobs today (RuntimeError at "
                        "vendor_acme.py:15 in jobs)"
                    ),
                )
            ],
        ),
        (
            "class Plugin:\n    api_version = 99",
            "",
            [
                (
                    "[plugins.acme]",
                    (
                        "plugin acme (acme-acme 2.1): speaks plugin API version 99, this gateway "
                        "speaks 1; install a version of the plugin that matches"
                    ),
                )
            ],
        ),
    ],
)
def test_a_plugin_that_would_not_work_fails_the_check(
    run, config, install, source, settings, expected
):
    install("acme", source)
    config.write_text(f"[plugins.acme]\n{settings}\n")

    result = run("plugins", "check", "acme", "--json")

    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"]) == (1, False)
    assert [(each["field"], each["message"]) for each in found["problems"]][: len(expected)] == (
        expected
    )


def test_a_plugin_that_is_not_enabled_is_reported_with_a_remedy(run, config, install):
    install("pulse", PULSE)

    result = run("plugins", "check", "pulse")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gateway: Plugin pulse is not enabled: add the table [plugins.pulse] to gateway.toml.\n"
    )


def test_a_plugin_that_is_turned_off_is_reported_with_a_remedy(run, config, install):
    install("pulse", PULSE)
    config.write_text("[plugins.pulse]\nenabled = false\n")

    result = run("plugins", "check", "pulse")

    assert result.exit_code == 1
    assert result.stderr == (
        "gateway: Plugin pulse is turned off: take enabled = false out of [plugins.pulse].\n"
    )


def test_a_plugin_that_is_not_installed_is_reported(run):
    result = run("plugins", "check", "acme_erp")

    assert result.exit_code == 1
    assert result.stderr.startswith("gateway: No such plugin is installed; there are ")
    assert "json_api, " in result.stderr
