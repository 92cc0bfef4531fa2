"""The key file: how it comes to be, who may read it, how it is replaced."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from core.storage.rows import newest_only

from gateway.errors import ConfigurationError
from gateway.storage.crypto.keyring import Keyring, load, load_or_create, save

INDEX_KEY = bytes(range(32))
SEAL_1 = bytes(range(32, 64))
SEAL_2 = bytes(range(64, 96))
GOOD = Keyring(INDEX_KEY, ((1, SEAL_1), (2, SEAL_2)))
ON_POSIX = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows guards files by access lists, not by mode bits"
)


def everything_said_by(error: BaseException) -> str:
    """Return all text that a log could get from an error, its hidden context included."""
    said = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        said += f"{link!s} {link!r} {link.args!r} {vars(link)!r}"
        link = link.__context__
    return said


def test_the_first_start_makes_the_key_and_later_starts_find_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data" / "master.key"

    made = load_or_create(path)

    assert made.seal_ids == (1,)
    assert load_or_create(path) == made
    assert load(path) == made
    assert path.read_bytes() == made.to_text().encode()
    assert list(path.parent.iterdir()) == [path]


@ON_POSIX
def test_only_the_owner_may_touch_the_key_and_its_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "data" / "master.key"
    before = os.umask(0)  # the most careless setting
    try:
        load_or_create(path)
        created_mode = path.stat().st_mode & 0o7777
        save(path, load(path).rotated())
    finally:
        os.umask(before)

    assert created_mode == 0o600
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700


@ON_POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660])
def test_a_key_file_open_to_others_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    made = load_or_create(path)
    path.chmod(mode)

    with pytest.raises(ConfigurationError) as refusal:
        load_or_create(path)

    assert refusal.value.message == (
        f"{path}: others than its owner may read or change the master key "
        f"(mode {mode:04o}); run: chmod 600 {path}"
    )
    path.chmod(0o600)
    assert load_or_create(path) == made


# Each child waits for a path on its standard input, so that all start each round together.
STARTING_GATEWAY = """
import sys
from pathlib import Path
from gateway.storage.crypto.keyring import load_or_create

print("ready", flush=True)
for line in sys.stdin:
    keyring = load_or_create(Path(line.strip()))
    print(keyring.to_text().replace("\\n", ","), flush=True)
"""


def tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def answer_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_processes_starting_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    # Given four processes that are ready to start
    children = [
        subprocess.Popen(
            [sys.executable, "-c", STARTING_GATEWAY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        assert [answer_of(child) for child in children] == ["ready\n"] * 4
        for round_number in range(20):
            path = tmp_path / f"{round_number}" / "master.key"
            # When all are let go in the same moment
            for child in children:
                tell(child, str(path))
            answers = {Keyring.parse(answer_of(child)) for child in children}
            # Then there is one key, and nothing half-made is left beside it
            assert answers == {load(path)}
            assert list(path.parent.iterdir()) == [path]
    finally:
        for child in children:
            child.communicate()
    assert [child.returncode for child in children] == [0] * 4


def test_a_vanished_key_file_shows_as_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    known = load_or_create(path).fingerprint()

    path.unlink()

    assert load_or_create(path).fingerprint() != known


def test_load_never_makes_a_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    with pytest.raises(ConfigurationError, match="the master key is not there"):
        load(path)

    assert not path.exists()


def test_what_is_no_key_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"\xff\xfe" + SEAL_1)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError) as refusal:
        load_or_create(path)

    assert refusal.value.message.startswith(f"{path}: master key, line 1: expected 'index'")
    assert '!\\"#$' not in everything_said_by(refusal.value)
    assert repr(SEAL_1)[2:14] not in everything_said_by(refusal.value)


def test_a_key_file_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.to_text().encode())
    path.chmod(0o600)

    assert load(path) == GOOD


def test_a_place_that_cannot_hold_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigurationError, match="the master key can't be written"):
        load_or_create(tmp_path / "file" / "master.key")
    with pytest.raises(ConfigurationError, match="the master key can't be written"):
        save(tmp_path / "missing" / "master.key", GOOD)
    with pytest.raises(ConfigurationError, match="the master key can't be read"):
        load_or_create(tmp_path)


def test_saving_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    save(path, GOOD)
    rotated = GOOD.rotated()

    save(path, rotated)
    assert load(path) == rotated

    save(path, newest_only(rotated))
    assert load(path) == newest_only(rotated)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "other",
    [Keyring.generate(), Keyring(INDEX_KEY, ((1, SEAL_1), (2, bytes(32))))],
    ids=["another installation", "two rotations at once"],
)
def test_saving_never_overwrites_a_key_that_something_may_be_sealed_with(
    tmp_path: Path, other: Keyring
) -> None:
    path = tmp_path / "master.key"
    save(path, GOOD)

    with pytest.raises(ConfigurationError, match="holds other keys than the ones to be saved"):
        save(path, other)

    assert load(path) == GOOD


@ON_POSIX
def test_saving_through_a_link_replaces_the_key_it_points_to(tmp_path: Path) -> None:
    target = tmp_path / "safe" / "master.key"
    target.parent.mkdir()
    save(target, GOOD)
    link = tmp_path / "master.key"
    link.symlink_to(target)

    save(link, newest_only(GOOD))

    assert link.is_symlink()
    assert load(target) == load(link) == newest_only(GOOD)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)
def test_a_rotation_by_root_leaves_the_file_to_the_service(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    save(path, GOOD)
    os.chown(path, 12345, 12346)

    save(path, GOOD.rotated())

    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)
    assert path.stat().st_mode & 0o7777 == 0o600
