"""The plugin's tables: closed days, and the bags whose return was announced."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text

from gateway.plugin import PluginTables, SealedColumn

metadata: Final = MetaData()

# A closed day. ``site`` is empty where an account has none. ``figures`` are sealed: the sums at
# that time, and the note. ``closed_by`` names the person or key.
closed_days: Final = Table(
    "reports_days",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("closed_at_ms", BigInteger, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("figures", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account_id", "mode", "site", "day"),
)

# Packages whose return was announced, once each. ``due_day`` is ISO, a day of the site.
announced_returns: Final = Table(
    "reports_returns",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("package_id", Text, nullable=False),
    Column("due_day", Text, nullable=False),
    Column("announced_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "package_id"),
)


def row_id_of(account_id: str, mode: str, site: str, day: str) -> str:
    """Return the id that a closed day's figures are sealed for."""
    return f"{account_id}:{mode}:{site}:{day}"


TABLES: Final = PluginTables(
    metadata,
    Path(__file__).parent / "migrations",
    sealed=(
        SealedColumn(
            closed_days,
            "figures",
            key=("account_id", "mode", "site", "day"),
            row_id=lambda row: row_id_of(row.account_id, row.mode, row.site, row.day),
        ),
    ),
)
