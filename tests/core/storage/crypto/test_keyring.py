"""The master keys: their text, and their rotation."""

import base64
import hashlib
import hmac
import traceback

import pytest
from core.storage.rows import newest_only

from gateway.errors import ConfigurationError, SealError
from gateway.storage.crypto.keyring import Keyring, derived_key

INDEX_KEY = bytes(range(32))
SEAL_1 = bytes(range(32, 64))
SEAL_2 = bytes(range(64, 96))


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
            "master key, line 2: the same key is on line 1; every line needs a key of its own",
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
    kept = newest_only(GOOD)

    assert kept == Keyring(INDEX_KEY, ((2, SEAL_2),))
    assert kept.rotated().seal_ids == (2, 3)


def test_the_last_number_cannot_be_rotated_away_from() -> None:
    with pytest.raises(ConfigurationError, match="seal-65535 is the last possible seal key"):
        Keyring(INDEX_KEY, ((65535, SEAL_1),)).rotated()


def test_a_missing_seal_key_is_named_by_its_number() -> None:
    with pytest.raises(SealError, match=r"^seal key number 7 is missing: put its seal-7 line back"):
        GOOD.seal_key(7)


def test_the_fingerprint_holds_across_rotation_and_differs_between_keyrings() -> None:
    assert GOOD.fingerprint() == GOOD.rotated().fingerprint() == newest_only(GOOD).fingerprint()
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
