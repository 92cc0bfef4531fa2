"""What outlives a power cut: :mod:`gateway.storage.crypto.keyring`."""

import os
import sys
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from gateway.storage.crypto import keyring
from gateway.storage.database import Database

FULL = "F_FULLFSYNC"
FILE, FILE_ON_THE_NETWORK = 7, 8


@pytest.fixture
def flushed(monkeypatch):
    """Return what is brought to the disk from now on, and how."""
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append((descriptor, "fsync")))
    return calls


@pytest.fixture
def mac(monkeypatch, flushed):
    """Play a Mac."""

    def control(descriptor, what):
        if descriptor == FILE_ON_THE_NETWORK:
            raise OSError("not known here")
        flushed.append((descriptor, what))

    monkeypatch.setitem(sys.modules, "fcntl", SimpleNamespace(F_FULLFSYNC=FULL, fcntl=control))
    monkeypatch.setattr(keyring, "sys", SimpleNamespace(platform="darwin"))


@pytest.mark.usefixtures("mac")
def test_on_a_mac_a_file_is_flushed_out_of_the_drives_cache_too(flushed):
    keyring.flush_to_disk(FILE)

    assert flushed == [(FILE, FULL)]


@pytest.mark.usefixtures("mac")
def test_on_a_mac_a_volume_that_does_not_know_that_gets_a_plain_fsync(flushed):
    keyring.flush_to_disk(FILE_ON_THE_NETWORK)

    assert flushed == [(FILE_ON_THE_NETWORK, "fsync")]


def test_windows_has_no_call_for_a_folder(monkeypatch, flushed, tmp_path):
    monkeypatch.setattr(keyring, "sys", SimpleNamespace(platform="win32"))

    keyring.flush_names_to_disk(tmp_path)

    assert flushed == []


def test_elsewhere_a_folder_is_flushed_as_a_file_is(flushed, tmp_path):
    keyring.flush_names_to_disk(tmp_path)

    assert [how for _, how in flushed] == ["fsync"]


async def test_sqlite_flushes_the_drives_cache_where_there_is_a_call_for_it(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    try:
        async with database.begin() as writer, database.read() as reader:
            for connection in (writer, reader):
                found = await connection.execute(text("PRAGMA fullfsync"))
                assert found.scalar_one() == 1
    finally:
        await database.close()
