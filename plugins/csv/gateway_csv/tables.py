"""The plugin's tables. No patient data is in clear in any of them."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text

metadata: Final = MetaData()

known_rows: Final = Table(
    "csv_rows",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("row_index", LargeBinary, primary_key=True),  # blind: what the row is known by
    Column("import_id", Text, nullable=False),
    Column("claimed_at_ms", BigInteger, nullable=False),
    Column("content", LargeBinary),  # blind: what the row says besides; empty: not compared
    Column("seen_at_ms", BigInteger),  # when an import had it last; empty: when it was claimed
    Column("is_lasting", Boolean),  # known by an order id, or by prescription and date
    Index("ix_csv_rows_claimed_at_ms", "claimed_at_ms"),
)

chosen_columns: Final = Table(
    "csv_columns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("site", Text, primary_key=True),  # that of the key; empty: one of all sites
    Column("sender", Text, primary_key=True),
    Column("header", Text, primary_key=True),  # a column's normal name
    Column("field", Text, nullable=False),
)

imports: Final = Table(
    "csv_imports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),  # that of the key, when it reaches one only
    Column("state", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rows_done", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("outcome", LargeBinary),  # sealed: the report, or why there is none
    Column("started_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Index("ix_csv_imports_updated_at_ms", "updated_at_ms"),
)

rejected: Final = Table(
    "csv_rejected",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("part", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # sealed: rows as they were sent
)
