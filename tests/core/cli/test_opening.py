"""What a command says before it opens anything."""

import errno
import re
import socket
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.cli import main, serve
from gateway.errors import ConfigurationError
from gateway.storage.maintenance.migrate import Migrated


def test_a_command_in_the_wrong_folder_says_that_the_database_is_new(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    first = CliRunner().invoke(main, ["migrate"])
    second = CliRunner().invoke(main, ["keys", "list"])

    assert first.stderr == (
        f"gateway: There is no gateway.toml in {tmp_path}: creating an empty database there, "
        f"{tmp_path / 'data' / 'gateway.db'}. To use another one, change to its folder or pass "
        "--config.\n"
    )
    assert (second.exit_code, second.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "list"],
        ["events", "show", "evt_1"],
        ["packages", "list"],
        ["status"],
        ["attention"],
        ["audit", "verify"],
        ["people", "owner-code"],
        ["keys", "create", "--name", "till"],
        ["backup", "copy.zip"],
        ["storage", "prune"],
        ["endpoints", "list"],
    ],
    ids="-".join,
)
def test_only_a_server_begins_in_a_folder_without_configuration(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, words)

    assert result.exit_code == 1
    assert words == ["status"] or "There is no gateway.toml in" in result.stderr
    assert list(tmp_path.iterdir()) == []


READING = [["keys", "list"], ["attention"], ["audit", "verify"], ["accounts", "usage"]]


@pytest.mark.parametrize("words", READING, ids="-".join)
def test_a_command_that_only_reads_creates_no_database(run, config, words):
    path = config.parent / "data" / "gateway.db"

    result = run(*words)

    assert (result.exit_code, result.stderr) == (
        1,
        f"gateway: There is no database yet at {path}: gateway serve creates it.\n",
    )
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize("words", READING, ids="-".join)
def test_a_command_that_only_reads_migrates_no_database(run, config, words):
    run("migrate")
    path = config.parent / "data" / "gateway.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version WHERE version_num NOT LIKE 'core%'")
        connection.execute("UPDATE alembic_version SET version_num = 'core_0001'")

    result = run(*words)

    assert result.exit_code == 1
    assert "of an earlier version, and this command changes nothing: gateway" in result.stderr
    with closing(sqlite3.connect(path)) as connection:
        revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert revisions == [("core_0001",)]


def test_an_ipv6_address_is_printed_in_brackets():
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        assert re.fullmatch(r"\[::1\]:\d+", serve._host_and_port(listener))


def test_a_server_logs_that_it_updated_the_schema_and_where_the_copy_is(caplog, tmp_path):
    with caplog.at_level("INFO", "gateway.cli.serve"):
        serve._log_migration(Migrated((), None))
        serve._log_migration(Migrated(("core_0002", "csv_0002"), tmp_path / "copy.db"))

    [entry] = caplog.messages
    assert "core_0002, csv_0002" in entry
    assert str(tmp_path / "copy.db") in entry


def test_where_there_is_a_configuration_nothing_is_said(run):
    run("migrate")

    assert run("keys", "list").stderr == ""


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "another program has it, perhaps a gateway that runs already; end that one"),
        ("127.0.0.300", "this machine has no such address; [gateway] host is 127.0.0.1 for this"),
        ("192.0.2.1", "this machine has no such address; [gateway] host is 127.0.0.1 for this"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_reported_with_what_to_do(run, host, why):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("serve", "--host", host, "--port", str(port))

    assert result.exit_code == 1
    assert result.stderr.startswith(f"gateway: Can't listen on {host} port {port}: {why}")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(errno.EACCES, "no"), "this user may not; choose a port above 1023"),
        (OSError(errno.ENOBUFS, "No room"), "No room; choose another with --host and --port"),
    ],
)
def test_whatever_else_keeps_it_from_listening_is_reported_too(run, monkeypatch, error, why):
    def refuse(*_address, **_options):
        raise error

    monkeypatch.setattr(socket, "create_server", refuse)
    result = run("serve", "--port", "0")

    assert result.exit_code == 1
    assert why in result.stderr
    assert ConfigurationError.__name__ not in result.output


def test_windows_keeps_ports_above_1023_to_itself_too(monkeypatch):
    monkeypatch.setattr(serve, "sys", SimpleNamespace(platform="win32"))

    assert serve.listen_problem(PermissionError(errno.EACCES, "no")) == (
        "Windows or another program keeps it; choose another with --port or [gateway] port"
    )
