"""Files in the database: a row that describes one, and its content sealed in rows of 64 KB.

A piece is sealed for its place and for the number of pieces, so that a missing, moved or foreign
piece is noticed. The content is never in memory as a whole.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import SealError
from gateway.model.account import Caller
from gateway.model.file import StoredFile
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, insert_rows
from gateway.storage.files.spool import SealedSpool
from gateway.storage.schema import destinations, file_chunks, files
from gateway.storage.tenancy import visible_to

FilePart = Literal["content", "thumbnail"]

_CHUNKS_AT_ONCE: Final = 4
_COLUMNS: Final = tuple(column.name for column in file_chunks.columns)
_SUBJECTS_AT_ONCE: Final = 500


class FileFilter(NamedTuple):
    """The files to return; ``before_id`` is where the last page ended."""

    limit: int
    before_id: str | None = None
    subject: str | None = None
    kind: str | None = None


def chunk_row_id(row: Any) -> str:
    """Return the id that a chunk's row is sealed for."""
    return f"{row.file_id}:{row.part}:{row.number}/{row.pieces}"


class FileStore:
    """Writes, reads and deletes files."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def add(
        self,
        connection: AsyncConnection,
        file: StoredFile,
        ref: bytes | None,
        parts: Iterable[tuple[FilePart, SealedSpool]],
    ) -> None:
        """Store a file with its parts. ``ref`` is the digest of the report it belongs to."""
        await connection.execute(
            files.insert().values(
                id=file.id,
                account_id=file.account_id,
                mode=file.mode,
                site=file.site,
                subject=file.subject,
                kind=file.kind,
                media_type=file.media_type,
                size_bytes=file.size_bytes,
                thumbnail_bytes=file.thumbnail_bytes,
                created_at_ms=to_epoch_ms(file.created_at),
                actor=file.actor,
                ref=ref,
            )
        )
        for part, spool in parts:
            for number, piece in enumerate(spool.pieces()):
                row_id = f"{file.id}:{part}:{number}/{spool.pieces_count}"
                sealed = self._sealer.seal(piece, table=file_chunks.name, row_id=row_id)
                row = (file.account_id, file.id, part, number, spool.pieces_count, sealed)
                await insert_rows(connection, file_chunks, _COLUMNS, [row])

    async def get(
        self, connection: AsyncConnection, caller: Caller, file_id: str
    ) -> StoredFile | None:
        """Return a file; ``None`` when there is none that ``caller`` may see."""
        query = select(files).where(*visible_to(caller, files), files.c.id == file_id)
        row = (await connection.execute(query)).first()
        return None if row is None else _file(row)

    @staticmethod
    async def linked(
        connection: AsyncConnection, file_id: str, destination_id: str
    ) -> StoredFile | None:
        """Return the file that a link names, while its destination still exists."""
        query = (
            select(files)
            .join(destinations, destinations.c.account_id == files.c.account_id)
            .where(
                files.c.id == file_id,
                destinations.c.id == destination_id,
                destinations.c.removed_at_ms.is_(None),
            )
        )
        row = (await connection.execute(query)).first()
        return None if row is None else _file(row)

    async def page(
        self, connection: AsyncConnection, caller: Caller, wanted: FileFilter
    ) -> list[StoredFile]:
        """Return up to ``wanted.limit`` files, newest first."""
        query = select(files).where(*visible_to(caller, files))
        query = query.order_by(files.c.id.desc()).limit(wanted.limit)
        for column, value in ((files.c.subject, wanted.subject), (files.c.kind, wanted.kind)):
            if value is not None:
                query = query.where(column == value)
        if wanted.before_id is not None:
            query = query.where(files.c.id < wanted.before_id)
        return [_file(row) for row in await connection.execute(query)]

    async def of_subjects(
        self, connection: AsyncConnection, subjects: Collection[tuple[str, str]]
    ) -> list[tuple[StoredFile, bytes | None]]:
        """Return the files of each ``(account id, subject)`` with their refs, oldest first."""
        query = (
            select(files)
            .where(tuple_(files.c.account_id, files.c.subject).in_(sorted(subjects)))
            .order_by(files.c.id)
        )
        rows = await connection.execute(query)
        return [(_file(row), None if row.ref is None else bytes(row.ref)) for row in rows]

    async def content(
        self, database: Database, file: StoredFile, part: FilePart = "content"
    ) -> AsyncIterator[bytes]:
        """Yield a file's bytes, a piece at a time; no connection is open in between."""
        number, count = 0, 1
        while number < count:
            rows = await self._chunks(database, file, part, number)
            for row in rows:
                if row.number != number:
                    raise _incomplete()
                yield self._sealer.unseal(
                    bytes(row.payload), table=file_chunks.name, row_id=chunk_row_id(row)
                )
                number, count = number + 1, row.pieces
            if not rows:
                raise _incomplete()

    @staticmethod
    async def _chunks(
        database: Database, file: StoredFile, part: FilePart, first: int
    ) -> Sequence[Row[Any]]:
        query = (
            select(file_chunks)
            .where(
                file_chunks.c.account_id == file.account_id,
                file_chunks.c.file_id == file.id,
                file_chunks.c.part == part,
                file_chunks.c.number >= first,
            )
            .order_by(file_chunks.c.number)
            .limit(_CHUNKS_AT_ONCE)
        )
        async with database.read() as connection:
            return (await connection.execute(query)).all()

    @staticmethod
    async def revoke_links(
        connection: AsyncConnection, account_id: str, file_id: str, now: datetime
    ) -> None:
        """Revoke all links to a file that were made until ``now``."""
        await connection.execute(
            update(files)
            .where(files.c.account_id == account_id, files.c.id == file_id)
            .values(links_after_ms=to_epoch_ms(now))
        )


async def size_of_files(connection: AsyncConnection) -> tuple[int, int]:
    """Return the number of files, and their bytes with their thumbnails."""
    total = func.coalesce(func.sum(files.c.size_bytes + files.c.thumbnail_bytes), 0)
    row = (await connection.execute(select(func.count(), total).select_from(files))).one()
    return int(row[0]), int(row[1])


async def delete_files_of(
    connection: AsyncConnection, subjects: Collection[tuple[str, str]]
) -> int:
    """Delete the files of each ``(account id, subject)``; returns how many."""
    gone, wanted = 0, sorted(subjects)
    for start in range(0, len(wanted), _SUBJECTS_AT_ONCE):
        some = wanted[start : start + _SUBJECTS_AT_ONCE]
        found = await connection.execute(
            select(files.c.account_id, files.c.id).where(
                tuple_(files.c.account_id, files.c.subject).in_(some)
            )
        )
        gone += await delete_files(connection, [(row.account_id, row.id) for row in found])
    return gone


async def delete_files(connection: AsyncConnection, file_ids: Collection[tuple[str, str]]) -> int:
    """Delete each ``(account id, file id)`` with its content; returns how many."""
    for account_id, file_id in file_ids:
        await connection.execute(
            delete(file_chunks).where(
                file_chunks.c.account_id == account_id, file_chunks.c.file_id == file_id
            )
        )
        await connection.execute(
            delete(files).where(files.c.account_id == account_id, files.c.id == file_id)
        )
    return len(file_ids)


def _incomplete() -> SealError:
    return SealError(
        "a piece of a file is missing: it was erased meanwhile, or the database is damaged; "
        "if it happens again, restore a backup"
    )


def _file(row: Row[Any]) -> StoredFile:
    return StoredFile(
        id=row.id,
        account_id=row.account_id,
        mode=row.mode,
        site=row.site,
        subject=row.subject,
        kind=row.kind,
        media_type=row.media_type,
        size_bytes=row.size_bytes,
        thumbnail_bytes=row.thumbnail_bytes,
        created_at=from_epoch_ms(row.created_at_ms),
        actor=row.actor,
        links_after=None if row.links_after_ms is None else from_epoch_ms(row.links_after_ms),
    )
