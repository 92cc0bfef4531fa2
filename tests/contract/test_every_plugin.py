"""What every plugin promises, tried with each that is installed."""

from importlib.metadata import entry_points

import pytest

from gateway.testing import PluginContract

pytestmark = pytest.mark.pages

INSTALLED = sorted({each.name for each in entry_points(group="gateway.plugins")})


class TestEveryInstalledPlugin(PluginContract):
    @pytest.fixture(params=INSTALLED)
    def plugin(self, request: pytest.FixtureRequest) -> str:
        return request.param


def test_there_are_plugins_to_try():
    assert INSTALLED
