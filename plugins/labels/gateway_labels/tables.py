"""The plugin's tables: scans, their pictures, and the queue. No patient data is in clear."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from gateway.plugin import PluginTables, QueueTable, SealedColumn, queue_columns

metadata: Final = MetaData()

# A picture of a label: what was read, and what a person decided. ``content`` is sealed.
scans: Final = Table(
    "labels_scans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("actor", Text, nullable=False),
    Column("state", Text, nullable=False),  # reading, draft, failed, confirmed, refused, expired
    Column("created_at_ms", BigInteger, nullable=False),
    Column("read_at_ms", BigInteger),
    Column("decided_at_ms", BigInteger),
    Column("package_id", Text),
    Column("picture_parts", Integer, nullable=False),  # 0: there is no picture any more
    Column("content", LargeBinary),
    Index("ix_labels_scans_account_id", "account_id", "mode", "id"),
    Index("ix_labels_scans_state", "state", "created_at_ms"),
    Index("ix_labels_scans_decided_at_ms", "decided_at_ms"),
)

pictures: Final = Table(
    "labels_pictures",
    metadata,
    Column("scan_id", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # sealed
)

work: Final = Table("labels_work", metadata, *queue_columns("labels_work"))

WORK: Final = QueueTable(
    name="labels-reading",
    table=work,
    lease="lease",
    subject="subject",
    outcome="outcome",
    done=None,
    backoff_seconds=(5.0, 30.0),
    max_lease_seconds=400.0,
)
"""Pictures to read; the subject is the scan. Two pauses, then one can't be read."""


def part_id(row: object) -> str:
    """Return the id that a part of a picture is sealed for."""
    return f"{row.scan_id}:{row.part}"  # type: ignore[attr-defined]  # a row has its columns


TABLES: Final = PluginTables(
    metadata,
    Path(__file__).parent / "migrations",
    sealed=(
        SealedColumn(scans, "content", ("id",), lambda row: str(row.id)),
        SealedColumn(pictures, "content", ("scan_id", "part"), part_id, rows_at_once=20),
    ),
    queues=(WORK,),
)
