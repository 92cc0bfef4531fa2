"""The master keys: their text, their rotation, and how the key file comes to be."""

import base64
import hashlib
import hmac
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, SealError
from gateway.storage.keyring import Keyring, derived_key, load, load_or_create, save

INDEX_KEY = bytes(range(32))
SEAL_1 = bytes(range(32, 64))
SEAL_2 = bytes(range(64, 96))
ON_POSIX = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows guards files by access lists, not by mode bits"
)


def b64(key: bytes) -> str:
    return base64.b64encode(key).decode()


GOOD_TEXT = f"index {b64(INDEX_KEY)}\nseal-1 {b64(SEAL_1)}\nseal-2 {b64(SEAL_2)}\n"
GOOD = Keyring(INDEX_KEY, ((1, SEAL_1), (2, SEAL_2)))

NO_NAME = "expected 'index' or 'seal-<number from 1 to 65535>', a space and the key"
NO_KEY = "expected the base64 of 32 bytes (44 characters) after the name"


def everything_said_by(error: BaseException) -> str:
    """Return all text that a log could get from an error, its hidden context included."""
    said = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        said += f"{link!s} {link!r} {link.args!r} {vars(link)!r}"
        link = link.__context__
    return said


def test_the_text_form_is_read_and_written_back_the_same() -> None:
    keyring = Keyring.parse(GOOD_TEXT)

    assert keyring == GOOD
    assert keyring.index_key == INDEX_KEY
    assert keyring.active_id == 2
    assert keyring.seal_ids == (1, 2)
    assert keyring.seal_key(1) == SEAL_1
    assert keyring.seal_key(2) == SEAL_2
    assert keyring.to_text() == GOOD_TEXT


@pytest.mark.parametrize(
    "text",
    [
        GOOD_TEXT.replace("\n", ","),
        GOOD_TEXT.replace("\n", " , "),
        GOOD_TEXT.replace("\n", "\r\n"),
        "\n\n  " + GOOD_TEXT.replace("\n", "  \n\n"),
        GOOD_TEXT.replace(" ", "    "),
        "\n".join(reversed(GOOD_TEXT.splitlines())),
    ],
    ids=["commas", "commas and spaces", "crlf", "blank lines", "wide", "any order"],
)
def test_commas_blank_lines_and_order_make_no_difference(text: str) -> None:
    assert Keyring.parse(text) == GOOD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "master key: the index line is missing; restore it"),
        (f"seal-1 {b64(SEAL_1)}", "master key: the index line is missing; restore it"),
        (
            f"index {b64(INDEX_KEY)}",
            "master key: there is no seal line; restore at least one",
        ),
        (
            f"index {b64(INDEX_KEY)}\nsael-1 {b64(SEAL_1)}",
            f"master key, line 2: {NO_NAME}",
        ),
        (
            b64(INDEX_KEY),
            f"master key, line 1: {NO_NAME}",
        ),
        (
            f"index {b64(INDEX_KEY)},seal-0 {b64(SEAL_1)}",
            f"master key, line 2: {NO_NAME}",
        ),
        (
            f"seal-65536 {b64(SEAL_1)}",
            f"master key, line 1: {NO_NAME}",
        ),
        (
            f"\nseal-1 {b64(SEAL_1)[:-4]}",
            f"master key, line 2: {NO_KEY}",
        ),
        (
            "index",
            f"master key, line 1: {NO_KEY}",
        ),
        (
            f"index {b64(INDEX_KEY)[:-1]}",
            f"master key, line 1: {NO_KEY}",
        ),
        (
            f"index {b64(INDEX_KEY)} spare",
            f"master key, line 1: {NO_KEY}",
        ),
        (
            f"index {b64(INDEX_KEY)[:-2]}é=",
            f"master key, line 1: {NO_KEY}",
        ),
        (
            f"index {b64(INDEX_KEY)}\nindex {b64(SEAL_1)}",
            "master key, line 2: there is an index key already; keep one",
        ),
        (
            f"{GOOD_TEXT}seal-2 {b64(bytes(32))}",
            "master key, line 4: there is a seal-2 already; give each seal key its own number",
        ),
        (
            f"index {b64(INDEX_KEY)}\nseal-1 {b64(INDEX_KEY)}",
            "master key, line 2: the same key stands on line 1; every line needs a key of its own",
        ),
    ],
)
def test_a_wrong_text_is_refused_with_its_line_and_without_its_keys(
    text: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Keyring.parse(text)

    assert refusal.value.message == sentence
    said = everything_said_by(refusal.value)
    for key in (INDEX_KEY, SEAL_1):
        assert b64(key)[:12] not in said
        assert repr(key)[2:-1] not in said


def test_a_generated_keyring_is_random_and_survives_its_text() -> None:
    keyring = Keyring.generate()

    assert keyring.seal_ids == (1,)
    assert {len(keyring.index_key), len(keyring.seal_key(1))} == {32}
    assert len({keyring.index_key, keyring.seal_key(1), Keyring.generate().index_key}) == 3
    assert Keyring.parse(keyring.to_text()) == keyring


def test_rotation_adds_a_key_and_keeps_the_index() -> None:
    rotated = GOOD.rotated()

    assert rotated.seal_ids == (1, 2, 3)
    assert rotated.active_id == 3
    assert rotated.seal_keys[:2] == GOOD.seal_keys
    assert rotated.seal_key(3) not in {INDEX_KEY, SEAL_1, SEAL_2}
    assert rotated.index_key == INDEX_KEY


def test_retired_keys_are_dropped_and_their_numbers_never_come_back() -> None:
    kept = GOOD.without_retired()

    assert kept == Keyring(INDEX_KEY, ((2, SEAL_2),))
    assert kept.rotated().seal_ids == (2, 3)


def test_the_last_number_cannot_be_rotated_away_from() -> None:
    with pytest.raises(ConfigurationError, match="seal-65535 is the last possible seal key"):
        Keyring(INDEX_KEY, ((65535, SEAL_1),)).rotated()


def test_a_missing_seal_key_is_named_by_its_number() -> None:
    with pytest.raises(SealError, match=r"^seal key number 7 is missing: put its seal-7 line back"):
        GOOD.seal_key(7)


def test_the_fingerprint_holds_across_rotation_and_differs_between_keyrings() -> None:
    assert (
        GOOD.fingerprint() == GOOD.rotated().fingerprint() == GOOD.without_retired().fingerprint()
    )
    assert len(GOOD.fingerprint()) == 16
    assert GOOD.fingerprint() != Keyring.generate().fingerprint()


def test_derived_keys_follow_rfc_5869_and_differ_by_purpose() -> None:
    # RFC 5869 written out: extract with a salt of zeros, expand by one block.
    extracted = hmac.digest(bytes(32), SEAL_1, hashlib.sha256)
    expanded = hmac.digest(extracted, b"one\x01", hashlib.sha256)

    assert derived_key(SEAL_1, "one") == expanded
    assert len({derived_key(SEAL_1, "one"), derived_key(SEAL_1, "two"), SEAL_1}) == 3


def test_a_keyring_shows_no_key() -> None:
    shown = f"{GOOD!r} {GOOD!s} {[GOOD]}"

    assert repr(GOOD) == f"<Keyring {GOOD.fingerprint()} seal_ids=[1, 2]>"
    for key in (INDEX_KEY, SEAL_1, SEAL_2):
        assert b64(key) not in shown
        assert key.hex() not in shown
        assert repr(key) not in shown


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
from gateway.storage.keyring import load_or_create

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

    with pytest.raises(ConfigurationError, match="the master key can't be read"):
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
    path.write_bytes(b"\xef\xbb\xbf" + GOOD_TEXT.encode())
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

    save(path, rotated.without_retired())
    assert load(path) == rotated.without_retired()
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

    save(link, GOOD.without_retired())

    assert link.is_symlink()
    assert load(target) == load(link) == GOOD.without_retired()


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
