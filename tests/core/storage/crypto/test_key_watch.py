"""The key file of a running gateway: noticed when it is gone, and written back from memory."""

import asyncio
import sys

import pytest
from waiting import PATIENCE_SECONDS

from gateway.storage.crypto import key_watch
from gateway.storage.crypto.key_watch import KeyWatch, write_back_request
from gateway.storage.crypto.keyring import Keyring, load, save


@pytest.fixture
def path(tmp_path):
    return tmp_path / "master.key"


@pytest.fixture
def watch(path):
    keyring = Keyring.generate()
    save(path, keyring)
    return KeyWatch(path, keyring)


def test_the_file_as_it_was_read_has_no_fault(watch):
    assert watch.fault() is None


def test_a_key_in_the_settings_has_no_file_that_could_be_lost():
    assert KeyWatch(None, Keyring.generate()).fault() is None


def test_a_deleted_file_is_a_fault_that_names_the_command(watch, path):
    path.unlink()

    assert "master.key was deleted" in watch.fault()
    assert "gateway seal write-back" in watch.fault()


@pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing on Windows")
def test_a_file_that_others_may_read_is_a_fault(watch, path):
    path.chmod(0o644)

    assert "chmod 600" in watch.fault()


def test_a_damaged_file_is_a_fault(watch, path):
    path.write_text("index AAAA\n")

    assert "line 1" in watch.fault()


def test_the_key_of_another_installation_is_a_fault(watch, path):
    path.unlink()
    save(path, Keyring.generate())

    assert "another installation" in watch.fault()


def test_a_rotated_file_is_no_fault_and_losing_its_new_line_is_one(watch, path):
    before = load(path)
    save(path, before.rotated())
    assert watch.fault() is None

    path.unlink()
    save(path, before)
    assert "lost its lines seal-2" in watch.fault()


def test_a_new_index_key_is_no_fault_and_losing_its_line_is_one(watch, path):
    before = load(path)
    save(path, before.with_new_index())
    assert watch.fault() is None

    path.unlink()
    save(path, before)
    assert "lost its lines index-2" in watch.fault()


async def answered(request):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while request.exists():  # noqa: ASYNC110 - a thread removes it
            await asyncio.sleep(0.005)


async def test_a_request_in_the_folder_brings_the_file_back(watch, path):
    fingerprint = load(path).fingerprint()
    path.unlink()
    async with watch.answering():
        write_back_request(path).touch()
        await answered(write_back_request(path))

    assert load(path).fingerprint() == fingerprint
    assert watch.fault() is None
    assert path.stat().st_mode & 0o077 == 0 or sys.platform == "win32"


async def test_a_request_overwrites_no_file(watch, path):
    path.write_text("precious")
    async with watch.answering():
        write_back_request(path).touch()
        await answered(write_back_request(path))

    assert path.read_text() == "precious"


async def test_what_keeps_the_file_from_being_written_is_logged_and_tried_again(
    watch, path, caplog
):
    fingerprint = load(path).fingerprint()
    path.unlink()
    failing = iter([True])

    def save_later(target, keyring):
        if next(failing, False):
            raise OSError("disk")
        save(target, keyring)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_watch, "save", save_later)
        async with watch.answering():
            write_back_request(path).touch()
            await answered(write_back_request(path))

    assert "can't be written back" in caplog.text
    assert load(path).fingerprint() == fingerprint
