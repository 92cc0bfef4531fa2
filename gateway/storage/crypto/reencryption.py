"""After a rotation: seal the values of older keys again with the newest key.

Works in short transactions while the gateway serves; it can be stopped and started again at any
point.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.files.store import chunk_row_id
from gateway.storage.plugin_tables import SealedColumn
from gateway.storage.schema import (
    attempts,
    audit,
    break_glass,
    destinations,
    drafts,
    events,
    factors,
    file_chunks,
    packages,
    plugin_credentials,
    plugin_inbox,
    plugin_state,
    saved_views,
)
from gateway.storage.stores.plugin_state import plugin_row_id

_ROWS_AT_ONCE: Final = 500

_SEALED: Final = (
    SealedColumn(packages, "payload", ("account_id", "id"), lambda row: str(row.id)),
    SealedColumn(events, "data", ("sequence",), lambda row: str(row.id)),
    SealedColumn(destinations, "settings", ("id",), lambda row: str(row.id)),
    SealedColumn(factors, "secret", ("id",), lambda row: str(row.id)),
    SealedColumn(drafts, "data", ("id",), lambda row: str(row.id)),
    SealedColumn(saved_views, "data", ("id",), lambda row: str(row.id)),
    SealedColumn(break_glass, "data", ("id",), lambda row: str(row.id)),
    SealedColumn(attempts, "excerpt", ("sequence",), lambda row: f"{row.delivery_id}:{row.number}"),
    SealedColumn(audit, "address", ("sequence",), lambda row: f"{row.id}:address"),
    SealedColumn(audit, "detail", ("sequence",), lambda row: f"{row.id}:detail"),
    SealedColumn(
        file_chunks,
        "payload",
        ("account_id", "file_id", "part", "number"),
        chunk_row_id,
        rows_at_once=16,
    ),
    SealedColumn(plugin_inbox, "payload", ("sequence",), lambda row: str(row.id)),
    SealedColumn(
        plugin_state,
        "payload",
        ("plugin", "account_id", "key"),
        lambda row: plugin_row_id(row.plugin, row.account_id, row.key),
    ),
    SealedColumn(
        plugin_credentials,
        "secret",
        ("plugin", "account_id", "name"),
        lambda row: plugin_row_id(row.plugin, row.account_id, row.name),
    ),
)


class Progress(NamedTuple):
    """Progress in one table: rows read, and rows sealed again."""

    table: str
    seen: int
    resealed: int


async def reseal(
    database: Database,
    sealer: Sealer,
    plugin_columns: Sequence[SealedColumn] = (),
    *,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> AsyncIterator[Progress]:
    """Seal values of older keys again; yields after each transaction, at least once per table.

    ``plugin_columns`` are the sealed columns of plugins' tables; ``rows_at_once`` is the
    size of a transaction.
    """
    for place in (*_SEALED, *plugin_columns):
        seen = resealed = 0
        at_once = min(rows_at_once, place.rows_at_once)
        after: tuple[Any, ...] | None = None
        while True:
            async with database.begin() as connection:
                rows = await _next_rows(connection, place, after, at_once)
                resealed += await _reseal_rows(connection, place, rows, sealer)
            seen += len(rows)
            yield Progress(place.table.name, seen, resealed)
            if len(rows) < at_once:
                break
            after = tuple(getattr(rows[-1], name) for name in place.key)


async def _next_rows(
    connection: AsyncConnection, place: SealedColumn, after: tuple[Any, ...] | None, limit: int
) -> list[Row[Any]]:
    key: list[ColumnElement[Any]] = [place.table.c[name] for name in place.key]
    query = select(place.table).order_by(*key).limit(limit).with_for_update()
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return list(await connection.execute(query))


async def _reseal_rows(
    connection: AsyncConnection, place: SealedColumn, rows: list[Row[Any]], sealer: Sealer
) -> int:
    done = 0
    for row in rows:
        stored: bytes | None = getattr(row, place.column)
        if stored is None or not sealer.needs_resealing(bytes(stored)):
            continue
        name, row_id = place.table.name, place.row_id(row)
        plain = sealer.unseal(bytes(stored), table=name, row_id=row_id)
        same = [place.table.c[part] == getattr(row, part) for part in place.key]
        await connection.execute(
            update(place.table)
            .where(*same)
            .values({place.column: sealer.seal(plain, table=name, row_id=row_id)})
        )
        done += 1
    return done
