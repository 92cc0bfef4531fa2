"""``gateway serve``: what it says when it starts."""

import logging
import socket
from dataclasses import replace

import pytest

from gateway.cli.serve import _host_and_port, _log_migration, _warn_without_plugins
from gateway.sdk.records import InstalledPlugin
from gateway.storage.maintenance.migrate import Migrated


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [each.getMessage() for each in caplog.records]


def test_the_log_says_that_the_schema_was_updated_and_where_the_copy_is(said, tmp_path):
    copy = tmp_path / "before.db"
    _log_migration(Migrated(revisions=("core_0011", "csv_0003"), backup=copy))
    _log_migration(Migrated(revisions=("core_0001",), backup=None))
    _log_migration(Migrated(revisions=(), backup=None))

    assert said() == [
        f"updated the database schema to core_0011, csv_0003; the database before is in {copy}",
        "updated the database schema to core_0001",
    ]


def test_the_log_warns_where_no_plugin_takes_orders(said):
    plugin = InstalledPlugin("json_api", "rx-gateway", "0.1.0", enabled=True)
    _warn_without_plugins([plugin])
    _warn_without_plugins([replace(plugin, enabled=False)])

    [line] = said()
    assert line.startswith("no plugin is enabled, so nothing takes orders")


def test_an_ipv6_address_is_printed_so_that_it_can_be_opened():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        assert _host_and_port(listener) == f"[::1]:{port}"
