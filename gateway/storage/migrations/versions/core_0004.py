"""What lists look for among much that is over: a status, what failed, what was given up."""

import sqlalchemy as sa
from alembic import op

revision = "core_0004"
down_revision = "core_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three indexes."""
    op.create_index("ix_packages_status", "packages", ["account_id", "status", "id"], unique=False)
    for name, table, columns, condition in (
        (
            "ix_deliveries_exhausted",
            "deliveries",
            ["account_id", "state", "id"],
            "state = 'exhausted'",
        ),
        (
            "ix_attempts_failed",
            "attempts",
            ["destination_id", "delivered", "sequence"],
            "NOT delivered",
        ),
    ):
        op.create_index(
            name,
            table,
            columns,
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
