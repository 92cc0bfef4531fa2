"""The plugin's table: notified items, until they end. It holds no patient data."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, PrimaryKeyConstraint, Table, Text

from gateway.plugin import PluginTables

metadata: Final = MetaData()

# One item that needed a person. Times are whole milliseconds since 1970; ``cleared_at_ms`` is
# null while it lasts.
email_news: Final = Table(
    "email_news",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("site", Text),
    Column("text", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("notified_at_ms", BigInteger, nullable=False),
    Column("cleared_at_ms", BigInteger),
    PrimaryKeyConstraint("account_id", "kind", "subject"),
)

TABLES: Final = PluginTables(metadata, Path(__file__).parent / "migrations")
