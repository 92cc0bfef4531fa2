"""A backup that was changed in any way at all doesn't open, and says so in a sentence."""

import io
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from core.storage.rows import KEYRING, newest_only
from sqlalchemy import Column, DateTime, Interval, Numeric, Text, Time, Uuid
from sqlalchemy.types import NullType

from gateway.errors import ConfigurationError, SealError, StorageError
from gateway.storage.backup.format import (
    BackupReader,
    Manifest,
    SavedTable,
    SealedWriter,
    column_value,
    records,
)
from gateway.storage.crypto.keyring import Keyring

HEAD_BYTES = 38
CONTENT = [b"first", b"", b"x" * 100_000, bytes(range(256))]
DAMAGED = r"^The backup is damaged: part of it was changed or is missing\. Nothing of it was used"
INCONSISTENT = r"^The backup's content doesn't match its manifest"


def sealed(*content, keyring=KEYRING, finish=True, **options):
    file = io.BytesIO()
    writer = SealedWriter(file, keyring, **options)
    for record in content:
        writer.write(record)
    if finish:
        writer.finish()
    return file.getvalue()


def read(content, keyring=KEYRING):
    return list(records(io.BytesIO(content), keyring))


def pieces(content):
    """Split a file into its head and its records, each with its length."""
    found, at = [content[:HEAD_BYTES]], HEAD_BYTES
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4])
        found.append(content[at:end])
        at = end
    return found


@pytest.mark.parametrize("content", [[], [b""], CONTENT])
def test_what_was_written_is_read(content):
    assert read(sealed(*content)) == content


def test_every_flipped_byte_is_found():
    good = sealed(b"first", b"second")

    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 0x01
        with pytest.raises((SealError, ConfigurationError, StorageError)):
            read(bytes(bad))


def test_every_cut_is_found():
    good = sealed(b"first", b"second")

    for length in range(HEAD_BYTES, len(good)):
        with pytest.raises(SealError, match=DAMAGED):
            read(good[:length])


def test_a_file_that_was_not_finished_is_found():
    with pytest.raises(SealError, match=DAMAGED):
        read(sealed(b"first", finish=False))


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((0, 2, 1, 3, 4), id="two changed places"),
        pytest.param((0, 1, 3, 4), id="one is missing"),
        pytest.param((0, 1, 1, 2, 3, 4), id="one is there twice"),
        pytest.param((0, 1, 2, 3, 4, 4), id="something stands behind the end"),
        pytest.param((0, 4), id="only the end"),
        pytest.param((0, 1, 4), id="the end comes too early"),
    ],
)
def test_records_can_not_be_rearranged(order):
    parts = pieces(sealed(b"one", b"two", b"three"))
    assert len(parts) == 5

    with pytest.raises(SealError, match=DAMAGED):
        read(b"".join(parts[each] for each in order))


def test_a_record_of_another_backup_does_not_fit():
    one, other = pieces(sealed(b"one", b"two")), pieces(sealed(b"one", b"two"))

    with pytest.raises(SealError, match=DAMAGED):
        read(b"".join((one[0], other[1], *one[2:])))


def test_two_backups_of_the_same_are_not_the_same():
    assert sealed(b"one") != sealed(b"one")


def test_a_length_that_no_record_has_is_not_believed():
    good = sealed(b"one")

    with pytest.raises(SealError, match=DAMAGED):
        read(good[:HEAD_BYTES] + b"\xff\xff\xff\xff" + good[HEAD_BYTES + 4 :])


def test_a_record_that_could_not_be_read_back_is_not_written():
    with pytest.raises(StorageError, match=r"^A row is too large for a backup: take it out"):
        sealed(bytes(range(256)), max_record_bytes=20)


def test_a_wrong_master_key_is_distinguished_from_damage():
    stranger = Keyring.generate()

    with pytest.raises(ConfigurationError) as refused:
        read(sealed(b"one"), stranger)

    assert refused.value.message == (
        f"The backup was sealed with another master key (fingerprint {KEYRING.fingerprint()}, "
        f"here is {stranger.fingerprint()}): put the master.key that was kept with it into "
        "[gateway] data_dir, or set [security] master_key to it."
    )


def test_a_backup_opens_after_a_rotation_and_not_once_its_key_is_retired():
    content, rotated = sealed(b"one"), KEYRING.rotated()

    assert read(content, rotated) == [b"one"]
    assert read(sealed(b"two", keyring=rotated), rotated) == [b"two"]
    with pytest.raises(SealError, match=r"^seal key number 1 is missing"):
        read(content, newest_only(rotated))


@pytest.mark.parametrize("content", [b"", b"rx-gateway", b"SQLite format 3\0" * 10])
def test_what_is_no_backup_is_reported_in_a_sentence(content):
    with pytest.raises(StorageError, match=r"^This is no backup that gateway backup made\.$"):
        read(content)


def test_a_newer_form_asks_for_a_newer_version():
    content = bytearray(sealed(b"one"))
    content[15] = 2

    with pytest.raises(StorageError, match=r"^The backup was made by a newer version: install"):
        read(bytes(content))


# What the records say


def manifest(rows=2):
    return msgspec.msgpack.encode(
        Manifest(
            version="0.1.0",
            created_at="2026-01-01T00:00:00Z",
            dialect="sqlite",
            heads=("core_0001",),
            keyring="",
            tables=(SavedTable("facts", ("name", "value"), rows),),
        )
    )


def some(table=0, rows=2):
    return msgspec.msgpack.encode([table, [["a", "b"]] * rows])


def read_form(*content):
    reader = BackupReader(io.BytesIO(sealed(*content)), KEYRING)
    return [(table.name, rows) for table, rows in reader.rows()]


def test_rows_come_with_their_table():
    assert read_form(manifest(), some()) == [("facts", [["a", "b"], ["a", "b"]])]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"\xc1"], id="no msgpack"),
        pytest.param([some()], id="no manifest"),
        pytest.param([manifest()], id="too few rows"),
        pytest.param([manifest(), some(rows=3)], id="too many rows"),
        pytest.param([manifest(), some(table=1)], id="a table that was not announced"),
        pytest.param([manifest(), some(table=-1)], id="a table before the first"),
        pytest.param([manifest(), b"\xc1"], id="rows that can't be read"),
    ],
)
def test_a_backup_that_does_not_hold_what_it_says_is_refused(content):
    with pytest.raises(SealError, match=INCONSISTENT):
        read_form(*content)


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (Text(), "a", "a"),
        (NullType(), "as it is", "as it is"),
        (Numeric(10, 2), "12.50", Decimal("12.50")),
        (Numeric(10, 2), None, None),
        (Interval(), "PT1H", timedelta(hours=1)),
        (Time(), "23:59:00", time(23, 59)),
        (Uuid(), str(UUID(int=5)), UUID(int=5)),
        (DateTime(), "2026-02-28T23:59:59", datetime(2026, 2, 28, 23, 59, 59)),  # noqa: DTZ001
        (DateTime(timezone=True), "2026-02-28T23:59:59", datetime(2026, 2, 28, 23, 59, 59, 0, UTC)),
        (DateTime(), datetime(2026, 2, 28, 5, tzinfo=UTC), datetime(2026, 2, 28, 5)),  # noqa: DTZ001
    ],
    ids=str,
)
def test_a_value_becomes_what_the_column_takes(kind, written, read):
    assert column_value(written, Column("a", kind)) == read
