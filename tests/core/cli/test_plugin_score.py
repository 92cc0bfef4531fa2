"""How far a plugin has come: bronze works, silver can be looked after, gold can be handed on."""

import pytest
from core.cli.vendors import PULSE

WELL_MADE = "License-Expression: MIT\nRequires-Dist: rx-gateway>=1.1\nProject-URL: Home, https://acme.test\n"


@pytest.fixture
def judged(read, config):
    """Return the score of a plugin, and its rules that don't hold, each with its advice."""

    def judge(name):
        config.write_text(f"[plugins.{name}]\n")
        found = read("plugins", "check", name, "--score")
        return found["score"], {
            each["rule"]: each["advice"] for each in found["rules"] if not each["holds"]
        }

    return judge


def test_a_plugin_without_a_sample_of_its_settings_has_no_level_yet(judged, install):
    install("pulse", PULSE)

    score, lacking = judged("pulse")

    assert score is None
    assert lacking["sample of gateway.toml"].startswith("ship gateway.sample.toml")
    assert "rx-gateway>=" in lacking["names the gateway it needs"]
    assert "commands have help" not in lacking


def test_each_level_needs_all_rules_of_the_ones_before(judged, install, config):
    install("pulse", PULSE)
    site = config.parent / "site-pulse"
    # A package instead of a module, with what a vendor ships
    package = site / "vendor_pulse"
    package.mkdir()
    (site / "vendor_pulse.py").rename(package / "__init__.py")
    (package / "gateway.sample.toml").write_text("[plugins.pulse]\n")
    assert judged("pulse")[0] == "bronze"

    (package / "py.typed").touch()
    source = (package / "__init__.py").read_text()
    explained = source.replace(
        "class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):\n",
        "class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):\n"
        '    """Whether it is well, and how often."""\n',
    )
    (package / "__init__.py").write_text(explained)
    metadata = next(site.glob("*.dist-info")) / "METADATA"
    text = metadata.read_text()
    metadata.write_text(text + WELL_MADE)
    install.forget("vendor_pulse")
    assert judged("pulse")[0] == "silver"
    assert set(judged("pulse")[1]) == {"has a README"}

    metadata.write_text(text + WELL_MADE + "\n" + "For pharmacies that measure. " * 20)
    install.forget("vendor_pulse")
    assert judged("pulse") == ("gold", {})


@pytest.mark.parametrize("name", ["json_api", "webhooks", "csv", "shopify", "reports"])
def test_stock_plugins_can_be_looked_after(judged, name):
    """They are no distribution of their own, and say where to ask in SECURITY.md."""
    score, lacking = judged(name)

    assert score in {"silver", "gold"}, lacking
    assert set(lacking) <= {"says where to ask"}


@pytest.mark.parametrize("broken", ["def", "return [None, HealthCheck"])
def test_a_plugin_that_does_not_work_has_no_level(run, config, install, broken):
    install("pulse", PULSE.replace("return [HealthCheck", broken))
    config.write_text("[plugins.pulse]\n")

    failed = run("plugins", "check", "pulse", "--score", "--json")

    assert failed.exit_code == 1
    assert '"score":null' in failed.stdout.replace(" ", "")
    assert "mend the problems above" in failed.stdout
