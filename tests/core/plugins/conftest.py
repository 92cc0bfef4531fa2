"""A place for plugins that are found without being installed."""

import sys

import pytest
from core.plugins.distributions import Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if name.startswith("found_"):
            del sys.modules[name]
