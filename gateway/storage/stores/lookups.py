"""Look-ups: what a patient is found by in the audit trail and the disclosures, and there alone.

An owner (an audit row, a folded disclosure, the subject of events) has the package's id and the
blind indexes of patient id, rx numbers, phone, and name with address. They stay when the record
itself is erased.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.database import among, insert_into
from gateway.storage.schema import patient_lookups

Pairs = Sequence[tuple[str, bytes]]
"""Names and values: ``package``, ``patient``, ``rx``, ``phone``, ``name_address``."""
_AT_ONCE: Final = 500


async def lookups_of(
    connection: AsyncConnection, owners: Collection[str]
) -> dict[str, list[tuple[str, bytes]]]:
    """Return the look-ups of owners, sorted."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    query = select(patient_lookups).where(
        among(connection, patient_lookups.c.owner, sorted(owners))
    )
    for owner, name, value in await connection.execute(query):
        found.setdefault(owner, []).append((name, bytes(value)))
    return {owner: sorted(pairs) for owner, pairs in found.items()}


async def add_lookups(connection: AsyncConnection, new: Mapping[str, Pairs]) -> None:
    """Add look-ups to owners; those they have already stay."""
    rows: list[dict[str, Any]] = [
        {"owner": owner, "name": name, "value": value}
        for owner, pairs in sorted(new.items())
        for name, value in pairs
    ]
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        await connection.execute(
            insert_into(connection, patient_lookups).values(some).on_conflict_do_nothing()
        )


async def owners_of(connection: AsyncConnection, name: str, values: Collection[bytes]) -> set[str]:
    """Return the owners that have one of ``values`` under ``name``."""
    found: set[str] = set()
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        rows = await connection.execute(
            select(patient_lookups.c.owner).where(
                patient_lookups.c.value.in_(ordered[start : start + _AT_ONCE]),
                patient_lookups.c.name == name,
            )
        )
        found.update(rows.scalars())
    return found
