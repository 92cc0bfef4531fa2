"""Conditions of partial indexes name their values one by one, and not as a list.

For each row that is written, SQLite makes a table of a list with more than two values.
"""

import sqlalchemy as sa
from alembic import op

revision = "core_0022"
down_revision = "core_0021"
branch_labels = None
depends_on = None

_FINISHED = (
    "status = 'cancelled' OR status = 'completed' OR status = 'failed' OR status = 'returned'"
)
_RARE = (
    "kind = 'export' OR kind = 'print' OR kind = 'disclose' OR kind = 'sign_in' OR kind = 'denied'"
)
_INDEXES = (
    (
        "ix_packages_finished",
        "packages",
        ["purged", "status_at_ms", "account_id", "mode", "status", "site"],
        f"({_FINISHED})",
    ),
    ("ix_audit_kind", "audit", ["account_id", "kind", "sequence"], f"({_RARE})"),
)


def upgrade() -> None:
    """Build both indexes again."""
    for name, table, columns, rows in _INDEXES:
        condition = sa.text(rows)
        op.drop_index(name, table_name=table)
        op.create_index(
            name,
            table,
            columns,
            unique=False,
            sqlite_where=condition,
            postgresql_where=condition,
        )
