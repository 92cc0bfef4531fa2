"""Sealed values open only with the right key, in the right place, unchanged."""

import base64
import os
import subprocess
import sys
import threading

import pytest
from core.storage.rows import newest_only
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import SealError
from gateway.storage.crypto.encryption import ExtendedNonceCipher, Sealer, key_id_of
from gateway.storage.crypto.keyring import Keyring

KEYRING = Keyring(bytes(range(32)), ((1, bytes(range(32, 64))),))
SEALER = Sealer(KEYRING)
TABLE_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(deadline=None)  # a busy machine is no failure
@given(plaintext=st.binary(max_size=600), table=TABLE_NAMES, row_id=st.text())
def test_what_was_sealed_opens_in_its_own_place(plaintext: bytes, table: str, row_id: str) -> None:
    sealed = SEALER.seal(plaintext, table=table, row_id=row_id)

    assert SEALER.unseal(sealed, table=table, row_id=row_id) == plaintext
    assert len(sealed) == len(plaintext) + 43


def test_the_header_says_version_and_key_number() -> None:
    sealer = Sealer(Keyring(bytes(32), ((0x1234, bytes(range(32))),)))

    sealed = sealer.seal(b"", table="packages", row_id="pkg_1")

    assert sealed[:3] == b"\x01\x12\x34"
    assert key_id_of(sealed) == 0x1234


def test_a_value_sealed_by_an_earlier_release_still_opens() -> None:
    # Pinned, and made once without this code: HKDF by hmac, CMAC, AES-GCM.
    stored = bytes.fromhex(
        "010001000102030405060708090a0b0c0d0e0f1011121314151617"
        "5d900aed18482633cb6e4d36c327428b7155fa7848536c5fc9"
    )

    assert SEALER.unseal(stored, table="packages", row_id="pkg_1") == b"Ana Silva"


@pytest.mark.parametrize(
    ("key", "plaintext", "associated_data", "expected"),
    [
        (
            b"\x01" * 32,
            b"XAES-256-GCM",
            b"",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        ),
        (
            b"\x03" * 32,
            b"XAES-256-GCM",
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
)
def test_the_cipher_agrees_with_the_published_test_vectors(
    key: bytes, plaintext: bytes, associated_data: bytes, expected: str
) -> None:
    # https://c2sp.org/XAES-256-GCM, "Test Vectors": the first and second case
    # take the two ways through the derivation of K1.
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"

    sealed = ExtendedNonceCipher(key).at(nonce).encrypt(nonce[12:], plaintext, associated_data)

    assert sealed.hex() == expected


@pytest.mark.parametrize(
    ("table", "row_id"),
    [
        ("packages", "pkg_2"),
        ("events", "pkg_1"),
        ("package", "spkg_1"),
        ("packages", "pkg_1\0"),
        ("", "packages\0pkg_1"),
    ],
)
def test_a_value_moved_to_another_place_is_refused(table: str, row_id: str) -> None:
    sealed = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    with pytest.raises(SealError, match="changed, moved from another row"):
        SEALER.unseal(sealed, table=table, row_id=row_id)


def test_a_table_name_with_a_nul_is_refused_so_that_no_two_places_look_alike() -> None:
    with pytest.raises(SealError, match="a table's name can't hold a NUL"):
        SEALER.seal(b"", table="packages\0pkg", row_id="_1")


def test_a_flipped_bit_anywhere_is_refused() -> None:
    keyring = KEYRING.rotated().rotated()  # so that flipped key numbers exist as well
    sealer = Sealer(keyring)
    sealed = sealer.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            sealer.unseal(bytes(changed), table="packages", row_id="pkg_1")


@settings(deadline=None)
@given(cut=st.integers(min_value=1))
def test_a_shortened_value_is_refused(cut: int) -> None:
    sealed = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    with pytest.raises(SealError):
        SEALER.unseal(sealed[:-cut], table="packages", row_id="pkg_1")


@pytest.mark.parametrize("stored", [b"", b"\x01\x00\x01", b"\x02" + bytes(60), b"Ana Silva" * 9])
def test_what_was_never_sealed_is_refused_with_a_way_out(stored: bytes) -> None:
    for ask in (key_id_of, SEALER.needs_resealing):
        with pytest.raises(SealError, match=r"restore it or upgrade$"):
            ask(stored)
    with pytest.raises(SealError, match=r"restore it or upgrade$"):
        SEALER.unseal(stored, table="packages", row_id="pkg_1")


def test_a_value_under_an_unknown_key_names_the_missing_number() -> None:
    sealed = Sealer(KEYRING.rotated()).seal(b"Ana Silva", table="packages", row_id="pkg_1")

    with pytest.raises(SealError) as refusal:
        SEALER.unseal(sealed, table="packages", row_id="pkg_1")

    assert refusal.value.message == (
        "seal key number 2 is missing: put its seal-2 line back into the master key and restart"
    )


def test_another_master_key_under_the_same_number_is_refused() -> None:
    sealed = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    with pytest.raises(SealError, match="or sealed under another master key"):
        Sealer(Keyring.generate()).unseal(sealed, table="packages", row_id="pkg_1")


def test_rotation_keeps_the_old_readable_and_seals_the_new_with_the_new_key() -> None:
    # Given a value sealed before a rotation
    old = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")
    rotated = Sealer(KEYRING.rotated())

    # When a value is sealed after it
    new = rotated.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    # Then both open, and only the old one asks for sealing again
    assert rotated.unseal(old, table="packages", row_id="pkg_1") == b"Ana Silva"
    assert rotated.unseal(new, table="packages", row_id="pkg_1") == b"Ana Silva"
    assert (key_id_of(old), key_id_of(new)) == (1, 2)
    assert (rotated.needs_resealing(old), rotated.needs_resealing(new)) == (True, False)


def test_a_retired_key_opens_nothing_any_more() -> None:
    old = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")

    with pytest.raises(SealError, match="seal key number 1 is missing"):
        Sealer(newest_only(KEYRING.rotated())).unseal(old, table="packages", row_id="pkg_1")


def test_the_same_value_never_looks_the_same_twice() -> None:
    sealed = {SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1") for _ in range(1000)}

    assert len({each[3:27] for each in sealed}) == 1000
    assert len({each[27:] for each in sealed}) == 1000


FORKING = """
import os
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.crypto.encryption import Sealer

sealer = Sealer(Keyring.generate())
place = {"table": "packages", "row_id": "pkg_1"}
before = sealer.seal(b"before", **place)
readers = []
for _ in range(3):
    reader, writer = os.pipe()
    if os.fork() == 0:
        assert sealer.unseal(before, **place) == b"before"
        with os.fdopen(writer, "wb") as out:
            out.write(b"".join(sealer.seal(b"", **place) for _ in range(500)))
        os._exit(0)
    os.close(writer)
    readers.append(reader)
values = [sealer.seal(b"", **place) for _ in range(500)]
for reader in readers:
    with os.fdopen(reader, "rb") as source:
        written = source.read()
    values += [written[at : at + 43] for at in range(0, len(written), 43)]
    assert os.wait()[1] == 0
assert all(sealer.unseal(value, **place) == b"" for value in values)
print(len(values), len({value[3:27] for value in values}), len({value[3:15] for value in values}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork (Windows)")
def test_forked_processes_never_use_the_same_nonce() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, check=False, timeout=60
    )

    assert (finished.stdout, finished.stderr) == ("2000 2000 2000\n", "")


def test_threads_share_one_sealer() -> None:
    wrong: list[bytes] = []

    def work(number: int) -> None:
        text = f"patient {number}".encode()
        for _ in range(2000):
            sealed = SEALER.seal(text, table="packages", row_id="pkg_1")
            opened = SEALER.unseal(sealed, table="packages", row_id="pkg_1")
            if opened != text:
                wrong.append(opened)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # An exception in a thread is a warning to pytest, and warnings are errors.
    assert wrong == []


def test_no_key_and_no_patient_shows_in_a_sealer_or_its_errors() -> None:
    sealed = SEALER.seal(b"Ana Silva", table="packages", row_id="pkg_1")
    with pytest.raises(SealError) as refusal:
        SEALER.unseal(sealed, table="packages", row_id="pkg_of_ana")

    shown = f"{SEALER!r} {SEALER!s} {refusal.value!r} {refusal.value.__context__!r}"

    for key in (KEYRING.index_key, KEYRING.seal_key(1)):
        assert base64.b64encode(key).decode() not in shown
        assert key.hex() not in shown
        assert repr(key) not in shown
    assert "ana" not in shown.lower()
    assert b"Ana" not in sealed
