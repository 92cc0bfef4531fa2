"""What a command says before it opens anything."""

import errno
import re
import socket
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.cli import main, serve
from gateway.errors import ConfigurationError
from gateway.storage.maintenance.migrate import Migrated


def test_a_command_in_the_wrong_folder_says_that_the_database_is_new(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    first = CliRunner().invoke(main, ["keys", "create", "--name", "till"])
    second = CliRunner().invoke(main, ["keys", "list"])

    assert first.stderr == (
        f"gateway: There is no gateway.toml in {tmp_path}: creating an empty database there, "
        f"{tmp_path / 'data' / 'gateway.db'}. To use another one, change to its folder or pass "
        "--config.\n"
    )
    assert (second.exit_code, second.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [["keys", "list"], ["events", "show", "evt_1"], ["packages", "list"], ["status"]]
)
def test_a_command_that_only_reads_creates_nothing_in_the_wrong_folder(
    tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, words)

    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


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
