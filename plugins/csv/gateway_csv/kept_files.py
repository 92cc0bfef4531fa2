"""Uploaded files, sealed in the database for as long as their imports."""

import io
from typing import BinaryIO, Final

from sqlalchemy import delete, insert, select

from gateway.plugin import Gateway
from gateway_csv.tables import files

_PART_BYTES: Final = 256 * 1024


async def keep_file(gateway: Gateway, import_id: str, file: BinaryIO) -> int:
    """Store a file; returns its size in bytes.

    Each part has a transaction of its own, so that orders don't wait for a large file.
    """
    file.seek(0)
    size = part = 0
    while content := file.read(_PART_BYTES):
        sealed = gateway.sealer.seal(content, table="csv_files", row_id=f"{import_id}:{part}")
        async with gateway.database.begin() as connection:
            await connection.execute(
                insert(files).values(import_id=import_id, part=part, content=sealed)
            )
        size, part = size + len(content), part + 1
    return size


async def open_file(gateway: Gateway, import_id: str) -> BinaryIO | None:
    """Return a stored file in memory; ``None`` if there is none."""
    found = io.BytesIO()
    part = 0
    while True:
        async with gateway.database.read() as connection:
            sealed = await connection.scalar(
                select(files.c.content).where(files.c.import_id == import_id, files.c.part == part)
            )
        if sealed is None:
            break
        found.write(
            gateway.sealer.unseal(bytes(sealed), table="csv_files", row_id=f"{import_id}:{part}")
        )
        part += 1
    found.seek(0)
    return found if part else None


async def drop_file(gateway: Gateway, import_id: str) -> None:
    """Delete a stored file."""
    async with gateway.database.begin() as connection:
        await connection.execute(delete(files).where(files.c.import_id == import_id))
