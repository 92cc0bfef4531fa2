"""Plugins are found, the enabled ones loaded; one that fails is named and spoils nothing else."""

import importlib.metadata
import sys
from importlib.metadata import EntryPoint

from core.plugins.distributions import PLUGIN, configured, loaded, registered

from gateway.errors import Problem
from gateway.installed_plugins.discovery import default_configuration, installed_plugins
from gateway.plugin_loader import plugin_problems
from gateway.sdk.records import InstalledPlugin
from gateway.settings import Settings


def test_an_enabled_plugin_is_built_with_its_settings_and_the_gateway(site, tmp_path):
    site.plugin("acme")
    hooks, plugins = loaded(tmp_path, '[plugins.acme]\npostcodes = ["33178"]')
    plugin = registered(hooks)["acme"]

    assert plugins["acme"] == InstalledPlugin("acme", "gateway-acme", "1.2.3", enabled=True)
    assert (plugin.settings.postcodes, plugin.settings.limit) == (("33178",), 10)
    assert plugin.gateway == "the gateway"


def test_a_plugin_without_a_table_is_listed_and_never_imported(site, tmp_path):
    site.plugin("acme", "raise AssertionError")
    hooks, plugins = loaded(tmp_path, "")

    assert plugins["acme"] == InstalledPlugin("acme", "gateway-acme", "1.2.3", enabled=False)
    assert "found_acme" not in sys.modules
    assert registered(hooks) == {}


def test_a_plugin_that_is_switched_off_is_never_imported(site, tmp_path):
    site.plugin("acme", "raise AssertionError")
    _, plugins = loaded(tmp_path, "[plugins.acme]\nenabled = false\nnonsense = 1")

    assert (plugins["acme"].enabled, plugins["acme"].problem) == (False, None)
    assert "found_acme" not in sys.modules


def test_looking_what_is_installed_imports_nothing(site, tmp_path):
    site.plugin("acme")
    (site.folder / "found_acme" / "gateway.sample.toml").write_text("[plugins.acme]\n")
    found = {plugin.name: plugin for plugin in installed_plugins(Settings())}

    assert found["acme"].settings_file == site.folder / "found_acme" / "gateway.sample.toml"
    assert "found_acme" not in sys.modules


def test_plugins_are_registered_in_the_order_gateway_toml_names_them(site, tmp_path):
    for name in ("aaa", "bbb", "ccc"):
        site.plugin(name)
    hooks, _ = loaded(tmp_path, "[plugins.ccc]\n[plugins.aaa]\n[plugins.bbb]\n")

    assert list(registered(hooks)) == ["ccc", "aaa", "bbb"]


def test_a_plugin_that_is_enabled_but_not_installed_is_reported(tmp_path):
    _, plugins = loaded(tmp_path, "[plugins.acme_erp]")

    assert plugins["acme_erp"] == InstalledPlugin(
        "acme_erp",
        "missing",
        "",
        enabled=True,
        problem="no installed distribution brings a plugin acme_erp; pip install it first",
    )


def test_a_plugin_that_is_nearly_spelt_right_is_reported_with_a_remedy(site, tmp_path):
    site.plugin("acme_erp")
    _, plugins = loaded(tmp_path, "[plugins.acme_epr]")

    assert plugins["acme_epr"].problem == (
        "no installed distribution brings a plugin acme_epr; did you mean acme_erp?"
    )


def test_a_broken_plugin_does_not_silence_the_others(site, tmp_path, caplog):
    site.plugin("one")
    site.plugin("broken", "raise RuntimeError('no libacme')", version="0.9")
    site.plugin("two")
    hooks, plugins = loaded(tmp_path, "[plugins.one]\n[plugins.broken]\n[plugins.two]")

    assert list(registered(hooks)) == ["one", "two"]
    assert plugins["one"].problem is plugins["two"].problem is None
    assert caplog.messages == [
        (
            "plugin broken (gateway-broken 0.9) is left out: "
            "can't be imported: RuntimeError: no libacme"
        )
    ]
    assert plugin_problems(plugins.values()) == [
        Problem(
            "plugin broken (gateway-broken 0.9): can't be imported: RuntimeError: no libacme",
            field="[plugins.broken]",
        )
    ]


def test_two_distributions_with_the_same_plugin_are_reported_and_neither_is_taken(site, tmp_path):
    site.plugin("acme", "raise AssertionError")
    site.distribute("acme-copy", "7", {"acme": "found_copy:Plugin"}, modules={"found_copy.py": ""})
    hooks, plugins = loaded(tmp_path, "[plugins.acme]")

    assert plugins["acme"].problem == (
        "acme-copy and gateway-acme bring a plugin of this name; uninstall all but one"
    )
    assert registered(hooks) == {}
    assert not {"found_acme", "found_copy"} & set(sys.modules)


def test_one_distribution_may_bring_several_plugins(site, tmp_path):
    site.distribute(
        "gateway-suite",
        "3.0",
        {"suite_in": "found_suite.incoming:Plugin", "suite_out": "found_suite.outgoing:Plugin"},
        modules={
            "found_suite/__init__.py": "",
            "found_suite/incoming.py": PLUGIN,
            "found_suite/outgoing.py": PLUGIN,
        },
    )
    hooks, plugins = loaded(tmp_path, "[plugins.suite_out]")

    assert list(registered(hooks)) == ["suite_out"]
    assert plugins["suite_in"].distribution == plugins["suite_out"].distribution == "gateway-suite"
    assert "found_suite.incoming" not in sys.modules


def test_a_new_gateway_toml_has_every_installed_plugins_part(site, tmp_path):
    site.plugin("acme", "raise AssertionError")
    (site.folder / "found_acme" / "gateway.sample.toml").write_text(
        "\n\n# Talks to ACME.\n[plugins.acme]\n# limit = 10\n\n"
    )
    site.distribute("gateway-bare", "1", {"bare": "found_bare:Plugin"}, modules={})
    text = default_configuration()

    assert text.startswith("# The gateway's configuration.")
    assert "\n\n# Talks to ACME.\n[plugins.acme]\n# limit = 10\n" in text
    assert "found_acme" not in sys.modules
    assert "acme" in configured(tmp_path, text).plugins


def test_an_entry_point_of_no_distribution_is_reported_as_such(tmp_path, monkeypatch):
    loose = EntryPoint("loose", "found_loose:Plugin", "gateway.plugins")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [loose])
    _, plugins = loaded(tmp_path, "[plugins.loose]")

    assert (plugins["loose"].distribution, plugins["loose"].version) == ("unknown", "")
    assert plugins["loose"].problem.startswith("can't be imported: ")


def test_an_entry_point_whose_module_is_gone_is_no_reason_to_fail(site, tmp_path):
    site.distribute("gateway-gone", "1", {"gone": "found_gone.plugin:Plugin"}, modules={})
    _, plugins = loaded(tmp_path, "[plugins.gone]")

    assert plugins["gone"].settings_file is None
    assert plugins["gone"].problem == (
        "can't be imported: ModuleNotFoundError: No module named 'found_gone'"
    )
