"""The head of the audit trail outside of the database: in ``data/audit.head`` and in the log.

The chain shows what was changed or taken out before its newest row, and a head kept elsewhere
shows that the newest rows are missing. The file is never moved to a head that doesn't follow from
the one it holds: a trail that was cut keeps its witness until an operator has looked at it.
"""

import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.errors import InvalidInput
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import flush_names_to_disk, flush_to_disk
from gateway.storage.database import Database
from gateway.storage.stores.audit_chain import Head, holds, read_head, verify

_log = logging.getLogger(__name__)

FILE_NAME: Final = "audit.head"
_DAY_SECONDS: Final = 86_400.0


class AuditState(NamedTuple):
    """What a look at the trail found, as a sentence; the rows it verified, the newest's number."""

    is_whole: bool
    detail: str
    rows: int = 0
    newest: int = 0


class HeadKeeper:
    """Writes the head to its file, and once a day to the log."""

    def __init__(self, database: Database, path: Path, clock: Clock) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._logged_at: float | None = None

    async def keep(self) -> None:
        """Run as a job: bring the file up to date, unless the trail doesn't hold its head."""
        async with self._database.read() as connection:
            head = await read_head(connection)
            kept = await asyncio.to_thread(read_file, self._path)
            is_cut = kept is not None and not await holds(connection, kept)
        if is_cut:
            _log.error(
                "the audit trail doesn't hold the head that %s names: rows were changed or taken "
                "out; run gateway audit verify",
                FILE_NAME,
            )
            return
        if head is None:
            return
        if head != kept:
            await asyncio.to_thread(write_file, self._path, head)
        now = self._clock.monotonic_seconds()
        if self._logged_at is None or now - self._logged_at >= _DAY_SECONDS:
            self._logged_at = now
            _log.info("the audit trail's head is %s", head)


def read_file(path: Path) -> Head | None:
    """Return the head in a file; ``None`` where there is none. A damaged file is a wrong head."""
    try:
        return Head.parse(path.read_text("ascii"))
    except FileNotFoundError:
        return None
    except (InvalidInput, UnicodeDecodeError):
        return Head(-1, b"")


def write_file(path: Path, head: Head) -> None:
    """Replace the file in one step; on disk on return."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{head}\n")
            file.flush()
            flush_to_disk(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    flush_names_to_disk(path.parent)


async def look_at(
    connection: AsyncConnection, sealer: Sealer, path: Path, *, newest: int
) -> AuditState:
    """Verify the ``newest`` rows of the trail (0: all of them), and the head in the file."""
    kept = await asyncio.to_thread(read_file, path)
    if kept is not None and not await holds(connection, kept):
        return AuditState(
            is_whole=False,
            detail=f"it doesn't hold the head in {path}: rows were changed or taken out",
        )
    found = await verify(connection, sealer, newest=newest)
    if found.faults:
        return AuditState(is_whole=False, detail="; ".join(found.faults))
    if found.head is None:
        return AuditState(is_whole=True, detail="empty")
    newest_row = found.head.sequence
    detail = f"{found.rows} rows verified, the newest is {newest_row}"
    return AuditState(is_whole=True, detail=detail, rows=found.rows, newest=newest_row)
