"""A vendor's tests: the contract as it is used outside of this project."""

import os
import subprocess
import sys

import pytest
from core.plugins.distributions import Site, changed

pytestmark = [pytest.mark.pages, pytest.mark.slow]

TESTS = """
from gateway.testing import PluginContract


class TestGood(PluginContract):
    name = "good"


class TestBad(PluginContract):
    name = "bad"


class TestBare(PluginContract):
    name = "bare"


class TestOff(PluginContract):
    name = "off"
"""
MORE = """
    @hookimpl
    def jobs(self):
        from gateway.plugin import Job
        return [Job("", self.well, 60)]

    @hookimpl
    def health_checks(self):
        from gateway.plugin import HealthCheck
        return [HealthCheck("bad", self.well)]

    async def well(self):
        return True
"""


def test_a_vendor_sees_what_their_plugin_breaks_and_nothing_else(tmp_path):
    bad = changed("frozen=True, forbid_unknown_fields=True", "frozen=True") + MORE
    bad = changed("import msgspec\n", "import msgspec\nfrom gateway.errors import Problem\n", bad)
    Site(tmp_path).plugin("good")
    Site(tmp_path).plugin("bad", bad)
    Site(tmp_path).plugin("bare")
    Site(tmp_path).plugin("off")
    (tmp_path / "found_off" / "gateway.sample.toml").write_text("[plugins.off]\nenabled = false\n")
    for name in ("good", "bad"):
        sample = tmp_path / f"found_{name}" / "gateway.sample.toml"
        sample.write_text(f"[plugins.{name}]\n")
    (tmp_path / "test_acme.py").write_text(TESTS)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "test_acme.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    ended = [line.partition(" - ")[0].split("::") for line in done.stdout.splitlines()]
    passed = [each[1:] for each in ended if each[0] == "PASSED test_acme.py"]
    failed = [
        each[1:]
        for each in ended
        if each[0] == "FAILED test_acme.py" and each[1] in {"TestGood", "TestBad"}
    ]

    assert sorted(failed) == [
        ["TestBad", "test_it_imports_only_the_plugin_api"],
        ["TestBad", "test_its_health_checks_answer"],
        ["TestBad", "test_its_jobs_have_names_and_intervals"],
        ["TestBad", "test_its_settings_are_frozen_and_refuse_unknown_keys"],
    ], done.stdout
    assert len([each for each in passed if each[0] == "TestGood"]) == 25
    assert "imports gateway.errors" in done.stdout  # its asserts say what was found
    sample = tmp_path / "found_bare" / "gateway.sample.toml"
    assert f"{sample} is missing: gateway init writes it, so put [plugins.bare]" in done.stdout
    assert "its sample switches it off: give the test class a configuration with it" in done.stdout
