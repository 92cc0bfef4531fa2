"""The lock of the one server of a SQLite file; that processes keep out of each other's way is
tried with real ones, in the journeys."""

import sys

import pytest

from gateway.errors import Conflict
from gateway.storage.maintenance.locks import server_lock

if sys.platform == "win32":
    pytest.skip("it makes fcntl fail, which Windows lacks", allow_module_level=True)

import fcntl


def test_the_lock_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with server_lock(tmp_path / "gateway.db"):
            assert (tmp_path / "gateway.db.serving").read_bytes() == b""


@pytest.mark.parametrize("taken", [BlockingIOError, PermissionError])
def test_a_second_server_is_refused(tmp_path, monkeypatch, taken):
    def refuse(*_words):
        raise taken

    monkeypatch.setattr(fcntl, "lockf", refuse)

    with (
        pytest.raises(Conflict, match="Another gateway serves"),
        server_lock(tmp_path / "gateway.db"),
    ):
        pytest.fail("it went on")


def test_where_there_are_no_locks_the_server_starts(tmp_path, monkeypatch):
    def refuse(*_words):
        raise OSError("No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)

    with server_lock(tmp_path / "gateway.db"):
        pass
    with server_lock(tmp_path / "nowhere" / "gateway.db"):
        pass
