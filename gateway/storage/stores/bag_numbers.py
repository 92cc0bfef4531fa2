"""The blind indexes of a bag's rx numbers, so that a search for any of them finds the package.

The first number's is ``packages.rx_index``; the others are rows of ``package_prescriptions``. A
package of one prescription has no such row.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import BindParameter, Select, delete, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.order import Order
from gateway.storage.database import insert_rows
from gateway.storage.schema import package_prescriptions, packages

_COLUMNS: Final = ("account_id", "package_id", "rx_index")

NumberRow = tuple[str, str, bytes]
"""Account id, package id, blind index."""


def number_rows(
    account_id: str, package_id: str, order: Order, index: Callable[[str], bytes]
) -> Iterator[NumberRow]:
    """Yield the rows of a bag; ``index`` makes the blind index of a number."""
    if len(order.prescriptions) > 1:
        first, *others = (index(each.rx_number) for each in order.prescriptions)
        for each in sorted(set(others) - {first}):
            yield account_id, package_id, each


async def insert_numbers(connection: AsyncConnection, rows: Iterable[NumberRow]) -> None:
    """Write the rows of new bags."""
    new = list(rows)
    if new:
        await insert_rows(connection, package_prescriptions, _COLUMNS, new)


async def replace_numbers(
    connection: AsyncConnection, account_id: str, package_id: str, rows: Iterable[NumberRow]
) -> None:
    """Write the rows of a bag that changed, in place of those it had."""
    await delete_numbers(connection, [(account_id, package_id)])
    await insert_numbers(connection, rows)


async def delete_numbers(connection: AsyncConnection, keys: Collection[tuple[str, str]]) -> None:
    """Delete the rows of packages, named by account id and id."""
    key = tuple_(package_prescriptions.c.account_id, package_prescriptions.c.package_id)
    await connection.execute(delete(package_prescriptions).where(key.in_(list(keys))))


def ids_with(index: bytes | BindParameter[bytes]) -> Select[Any]:
    """Return a query of the ids of packages that carry a number; its index names the account."""
    first = select(packages.c.id).where(packages.c.rx_index == index)
    others = select(package_prescriptions.c.package_id).where(
        package_prescriptions.c.rx_index == index
    )
    return select(union(first, others).subquery().c[0])
