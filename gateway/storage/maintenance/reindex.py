"""After a new index key: compute the search indexes of packages again, while the gateway serves.

Works in short transactions; it can be stopped and started again. Erased packages have no search
indexes. The audit trail and the disclosures keep the indexes of the retired keys: their reports
compute a look-up under each key.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, false, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.order import Order
from gateway.storage.database import Database
from gateway.storage.schema import packages
from gateway.storage.stores.bag_numbers import number_rows, replace_numbers
from gateway.storage.stores.packages import PackageStore

_ROWS_AT_ONCE: Final = 250
_KEY: Final = (packages.c.account_id, packages.c.id)
_NAMES: Final = ("rx_index", "phone_index", "patient_index", "name_index")
_CHANGE: Final = (
    update(packages)
    .where(packages.c.account_id == bindparam("account"), packages.c.id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in _NAMES})
)


class ReindexProgress(NamedTuple):
    """The number of read packages, and of those with indexes of an older key."""

    seen: int
    changed: int


async def reindex(database: Database, store: PackageStore) -> AsyncIterator[ReindexProgress]:
    """Compute the search indexes again under the newest index key; yields after each step."""
    decoder = msgspec.json.Decoder(Order)
    seen = changed = 0
    after: tuple[str, str] | None = None
    while True:
        async with database.begin() as connection:
            query = (
                select(*_KEY, packages.c.payload, *(packages.c[name] for name in _NAMES))
                .where(packages.c.purged == false())
                .order_by(*_KEY)
                .limit(_ROWS_AT_ONCE)
                .with_for_update()
            )
            if after is not None:
                query = query.where(tuple_(*_KEY) > tuple_(*after))
            rows: Any = (await connection.execute(query)).all()
            for row in rows:
                plain = store.sealer.unseal(bytes(row.payload), table="packages", row_id=row.id)
                changed += await _change(connection, store, row, decoder.decode(plain))
        seen += len(rows)
        yield ReindexProgress(seen, changed)
        if len(rows) < _ROWS_AT_ONCE:
            return
        after = (rows[-1].account_id, rows[-1].id)


async def _change(connection: AsyncConnection, store: PackageStore, row: Any, order: Order) -> bool:
    new: Mapping[str, bytes | None] = store.search_indexes(row.account_id, order)
    old = {name: None if (value := getattr(row, name)) is None else bytes(value) for name in _NAMES}
    if new == old:
        return False
    values = {f"new_{name}": value for name, value in new.items()}
    await connection.execute(_CHANGE, {"account": row.account_id, "key": row.id, **values})
    numbers = number_rows(
        row.account_id,
        row.id,
        order,
        lambda number: store.index("rx_number", row.account_id, number),
    )
    await replace_numbers(connection, row.account_id, row.id, numbers)
    return True
