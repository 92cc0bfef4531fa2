"""The chain of the audit trail: each row's digest covers the row and the digest before it.

The digest is an HMAC under a key of its own (:meth:`Sealer.chain_digest`), over the plain values
of sealed columns, so that sealing again with a new master key changes none. Rows of the first
version (without ``chain_key``) have a SHA-256 instead, which anybody can compute: they count only
before the first row with a key, which covers them.

The **head** is the newest row's sequence and digest. It covers all rows before it: with a head
kept elsewhere, :func:`verify` also finds that the newest rows are missing.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.errors import InvalidInput, SealError, SealKeyMissing
from gateway.model.audit import AuditEntry
from gateway.model.ids import new_ids
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import insert_rows
from gateway.storage.maintenance.locks import AUDIT_CHAIN_LOCK
from gateway.storage.schema import audit, patient_lookups
from gateway.storage.statements import AUDIT_HEAD
from gateway.storage.stores.lookups import Pairs, lookups_of
from gateway.storage.transaction import Statement, fetch

_LOCK: Final = Statement("", "SELECT pg_advisory_xact_lock(:key)", locks=True)
FIRST: Final = bytes(32)
"""The digest before the first row."""
_ABSENT: Final = b"\xff\xff\xff\xff"
_ROWS_AT_ONCE: Final = 500
_DIGEST_BYTES: Final = 32
_COVERED: Final = (
    "chain_key",
    "id",
    "at_ms",
    "account_id",
    "actor",
    "action",
    "subject",
    "kind",
    "fields",
    "site",
    "purpose",
    "via",
    "session",
    "outcome",
)
_COLUMNS: Final = (*_COVERED, "address", "detail", "digest")
_LOOKUP: Final = ("owner", "name", "value")
_SEALED: Final = ("address", "detail")


class Head(NamedTuple):
    """The newest row of the trail; as text ``<sequence>:<hex digest>``."""

    sequence: int
    digest: bytes

    def __str__(self) -> str:
        """Return the text form."""
        return f"{self.sequence}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raises ``InvalidInput``."""
        number, _, digest = text.strip().partition(":")
        try:
            head = cls(int(number), bytes.fromhex(digest))
        except ValueError:
            head = cls(-1, b"")
        if head.sequence < 0 or len(head.digest) != _DIGEST_BYTES:
            raise InvalidInput(
                "A head is a number, a colon and 64 hex digits, as in data/audit.head, in the "
                "daily log line and in the output of gateway audit verify."
            )
        return head


@dataclass(slots=True)
class Verification:
    """What :func:`verify` found: rows read, the head, and the faults, as sentences.

    ``unkeyed`` rows are of the first version; ``unverified`` rows belong to a seal key that the
    master key doesn't have any more.
    """

    rows: int = 0
    unkeyed: int = 0
    unverified: dict[int, int] = field(default_factory=dict)
    head: Head | None = None
    broken_at: int | None = None
    faults: list[str] = field(default_factory=list)


async def lock_chain(connection: AsyncConnection) -> None:
    """Wait for the turn to append; held until the transaction ends. On SQLite writers queue."""
    if connection.dialect.name == "postgresql":
        await fetch(connection, _LOCK, key=AUDIT_CHAIN_LOCK)


async def read_head(connection: AsyncConnection) -> Head | None:
    """Return the newest row's sequence and digest; ``None`` for an empty trail."""
    for sequence, digest in await fetch(connection, AUDIT_HEAD):
        return Head(sequence, bytes(digest))
    return None


async def holds(connection: AsyncConnection, head: Head) -> bool:
    """Return whether the trail has the row of ``head``, with its digest."""
    query = select(audit.c.digest).where(audit.c.sequence == head.sequence)
    digest = (await connection.execute(query)).scalar()
    return digest is not None and bytes(digest) == head.digest


async def append(
    connection: AsyncConnection, sealer: Sealer, entries: Sequence[AuditEntry], at: datetime
) -> list[str]:
    """Add ``entries`` to the chain, in the caller's transaction; returns their ids."""
    if not entries:
        return []
    await lock_chain(connection)
    head = await read_head(connection)
    digest = FIRST if head is None else head.digest
    at_ms, key = to_epoch_ms(at), sealer.active_id
    ids = sorted(new_ids("aud", at_ms, len(entries)))
    rows: list[tuple[Any, ...]] = []
    lookups: list[tuple[Any, ...]] = []
    known = _Parts()  # entries that are written together have most of their values in common
    for entry, row_id in zip(entries, ids, strict=True):
        values = (
            key, row_id, at_ms, entry.account_id, entry.actor, entry.action, entry.subject,
            entry.kind, ",".join(entry.fields), entry.site, entry.purpose, entry.via,
            entry.session, entry.outcome,
        )  # fmt: skip
        pairs = sorted(set(entry.patient.pairs()))
        lookups += [(row_id, *pair) for pair in pairs]
        sealed = [_bytes(entry.address), _bytes(entry.detail)]
        digest = sealer.chain_digest(key, digest + _content(values, sealed, pairs, known))
        rows.append((*values, *_seal(sealer, row_id, sealed), digest))
    await insert_rows(connection, audit, _COLUMNS, rows)
    await insert_rows(connection, patient_lookups, _LOOKUP, lookups)
    return ids


async def verify(connection: AsyncConnection, sealer: Sealer, *, newest: int = 0) -> Verification:
    """Follow the chain from its first row, or only through the ``newest`` ones.

    It stops at the first row that doesn't follow from the one before.
    """
    found = Verification()
    before, digest = await _start(connection, newest)
    keyed = False
    async for row, pairs in _rows(connection, before):
        found.rows += 1
        if row.chain_key is None:
            found.unkeyed += 1
            is_whole = not keyed and _first_version(digest, row) == bytes(row.digest)
        else:
            keyed = True
            is_whole = _follows(sealer, digest, row, pairs, found)
        if not is_whole:
            found.broken_at = int(row.sequence)
            found.faults.append(
                f"row {row.sequence} does not follow from the row before it: it or its look-ups "
                "were changed, or rows were taken out or put in"
            )
            return found
        digest = bytes(row.digest)
        found.head = Head(int(row.sequence), digest)
    if found.rows and not keyed:
        found.faults.append(
            "no row is chained with a key: this is not what the gateway writes, or it never "
            "started since the upgrade"
        )
    found.faults += [
        f"{count} rows were chained with seal key {number}, which is not in the master key: put "
        f"its seal-{number} line back to verify them"
        for number, count in sorted(found.unverified.items())
    ]
    return found


async def first_broken_link(connection: AsyncConnection, sealer: Sealer) -> int | None:
    """Return the sequence of the first row that doesn't follow from the one before, if any."""
    return (await verify(connection, sealer)).broken_at


def opened(sealer: Sealer, row: Row[Any], name: str) -> str | None:
    """Return the plain text of a row's sealed column."""
    sealed: bytes | None = getattr(row, name)
    if sealed is None:
        return None
    return sealer.unseal(bytes(sealed), table="audit", row_id=f"{row.id}:{name}").decode()


async def _start(connection: AsyncConnection, newest: int) -> tuple[int | None, bytes]:
    """Return the sequence and digest of the row before the first to verify."""
    if not newest:
        return None, FIRST
    query = select(audit.c.sequence, audit.c.digest).order_by(audit.c.sequence.desc())
    row = (await connection.execute(query.offset(newest).limit(1))).first()
    return (None, FIRST) if row is None else (int(row[0]), bytes(row[1]))


async def _rows(
    connection: AsyncConnection, before: int | None
) -> AsyncIterator[tuple[Row[Any], Pairs]]:
    """Yield all rows after ``before`` with their look-ups, in order."""
    while True:
        query = select(audit).order_by(audit.c.sequence).limit(_ROWS_AT_ONCE)
        if before is not None:
            query = query.where(audit.c.sequence > before)
        rows = (await connection.execute(query)).all()
        lookups = await lookups_of(connection, [row.id for row in rows if row.id is not None])
        for row in rows:
            yield row, lookups.get(row.id, ())
        if len(rows) < _ROWS_AT_ONCE:
            return
        before = rows[-1].sequence


def _follows(
    sealer: Sealer, before: bytes, row: Row[Any], pairs: Pairs, found: Verification
) -> bool:
    values = [getattr(row, name) for name in _COVERED]
    try:
        plain = [_bytes(opened(sealer, row, name)) for name in _SEALED]
        digest = sealer.chain_digest(
            row.chain_key, before + _content(values, plain, pairs, _Parts())
        )
    except SealKeyMissing:
        found.unverified[row.chain_key] = found.unverified.get(row.chain_key, 0) + 1
        return True  # its digest stands, and rows with a key that is here cover it
    except (SealError, UnicodeDecodeError):
        return False
    return digest == bytes(row.digest)


def _seal(sealer: Sealer, row_id: str, plain: Sequence[bytes | None]) -> list[bytes | None]:
    return [
        None if value is None else sealer.seal(value, table="audit", row_id=f"{row_id}:{name}")
        for name, value in zip(_SEALED, plain, strict=True)
    ]


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode("utf-8", "surrogatepass")


class _Parts(dict[int | str | None, bytes]):
    """Values as the digest covers them; each is made once."""

    def __missing__(self, value: int | str | None) -> bytes:
        """Make a value's part."""
        return self.setdefault(value, _part(None if value is None else str(value).encode()))


def _content(
    values: Sequence[Any], sealed: Sequence[bytes | None], pairs: Pairs, known: _Parts
) -> bytes:
    """Return the row's content without ambiguity: each part behind its length."""
    parts = [known[value] for value in values]
    parts += map(_part, sealed)
    for name, value in pairs:
        parts += (known[name], _part(value))
    return b"".join(parts)


def _part(content: bytes | None) -> bytes:
    return _ABSENT if content is None else len(content).to_bytes(4, "big") + content


def _first_version(previous: bytes, row: Row[Any]) -> bytes:
    patient = b"" if row.patient_index is None else bytes(row.patient_index)
    parts = (
        str(row.at_ms), row.account_id, row.actor, row.action, row.subject, patient.hex(),
    )  # fmt: skip
    written = b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)
    return hashlib.sha256(previous + written).digest()
