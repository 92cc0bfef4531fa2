"""Indexes of lists: packages by site and source, events by site and type, the trail by column."""

import sqlalchemy as sa
from alembic import op

revision = "core_0018"
down_revision = "core_0017"
branch_labels = None
depends_on = None

_INDEXES = (
    ("packages", "site", "id", "site <> ''"),
    ("packages", "source", "id", "source <> ''"),
    ("events", "site", "id", "site <> ''"),
    ("events", "type", "id", "type <> ''"),
    ("audit", "actor", "sequence", "actor <> ''"),
    ("audit", "action", "sequence", "action <> ''"),
    (
        "audit",
        "kind",
        "sequence",
        "kind IN ('export', 'print', 'disclose', 'sign_in', 'denied')",
    ),
)


def upgrade() -> None:
    """Add the indexes."""
    for table, column, order, rows in _INDEXES:
        condition = sa.text(rows)
        op.create_index(
            f"ix_{table}_{column}",
            table,
            ["account_id", column, order],
            unique=False,
            sqlite_where=condition,
            postgresql_where=condition,
        )
