"""What the tables share: metadata, column types, and the conditions of partial indexes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    event,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MS = BigInteger


def one_of(column: str, values: Sequence[str]) -> str:
    """Return the condition of a partial index that ``column`` has one of ``values``.

    For each row that is written, SQLite would make a table of an ``IN`` with more than two values.
    """
    return "(" + " OR ".join(f"{column} = '{value}'" for value in values) + ")"


# Packages in a final status, and events that no package's erasure includes.
FINISHED: Final = one_of("status", ("cancelled", "completed", "failed", "returned"))
# Conditions of partial indexes, as the lists' queries repeat them.
EXHAUSTED: Final = "state = 'exhausted'"
FAILED: Final = "NOT delivered"
LOOSE: Final = "(substr(subject, 1, 4) <> 'pkg_' OR late)"
UNFILLED: Final = "flags IS NULL"
"""A package of an earlier version whose clear columns are not filled yet."""
NOT_ROUTINE: Final = "priority <> 'routine'"
FLAGS: Final[Mapping[str, int]] = {
    "signature": 1,
    "refrigerated": 2,
    "controlled": 4,
    "needs_person": 8,
    "no_proof": 16,
}
"""The bits of ``packages.flags``; ``no_proof``: delivered, without photo, signature or signer."""
RARE_FLAGS: Final[Mapping[str, Sequence[str]]] = {
    "needs_person": ("status", "driver_id", "purged", "status_at_ms", "flags"),
    "no_proof": ("flags",),
}
"""Flags that few packages have, and the further columns of their index."""
DID_FAIL: Final = "status = 'failed'"
"""A failed package, for the index that counts them."""
TEST: Final = "mode = 'test'"
"""Test data, of which there is little."""

# Always true where the value exists. SQLite has no statistics here, and would use an index on these
# columns for queries that a better index serves. It uses a partial index only where the query
# repeats its condition, and only the lists that need these indexes do so.
BY_SITE: Final = "site <> ''"
BY_SOURCE: Final = "source <> ''"
BY_TYPE: Final = "type <> ''"
BY_ACTOR: Final = "actor <> ''"
BY_ACTION: Final = "action <> ''"
# Kinds of audit rows of which there are few, unlike views, reveals, lists and changes.
RARE_KINDS: Final = ("export", "print", "disclose", "sign_in", "denied")
RARE_KIND: Final = one_of("kind", RARE_KINDS)


def flagged(flag: str) -> str:
    """Return the condition of a package that has ``flag``."""
    return f"(flags & {FLAGS[flag]}) <> 0"


class BYTES(LargeBinary):
    """Bytes, passed to the driver unchanged: both drivers take them without wrapping."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Return None: values need no processing."""


SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


def only(condition: str) -> dict[str, Any]:
    """Limit an index to the rows that its queries read."""
    return {"sqlite_where": text(condition)}


@event.listens_for(Table, "before_create")
def _only_on_postgresql(table: Table, connection: Connection, **_: Any) -> None:
    if connection.dialect.name == "postgresql":
        limit_on_postgresql(table)


def limit_on_postgresql(table: Table) -> None:
    """Limit a table's indexes on PostgreSQL as on SQLite, where they name no condition of its own.

    Named in the metadata, ``postgresql_where`` would import PostgreSQL's dialect with each start.
    """
    for index in table.indexes:
        condition = index.dialect_options["sqlite"]["where"]
        on_postgresql = index.dialect_options["postgresql"]
        if condition is not None and on_postgresql["where"] is None:
            on_postgresql["where"] = condition
