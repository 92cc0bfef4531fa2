"""What retention needs: which contents were emptied, and where those that are over stand."""

import sqlalchemy as sa
from alembic import op

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns and three indexes."""
    for table in ("packages", "events"):
        purged: sa.Column[bool] = sa.Column(
            "purged", sa.Boolean(), server_default=sa.false(), nullable=False
        )
        op.add_column(table, purged)
    finished = sa.text("status IN ('cancelled', 'completed', 'failed', 'returned')")
    op.create_index(
        "ix_packages_finished",
        "packages",
        ["purged", "status_at_ms"],
        unique=False,
        sqlite_where=finished,
        postgresql_where=finished,
    )
    loose = sa.text("(substr(subject, 1, 4) <> 'pkg_' OR late)")
    op.create_index(
        "ix_events_loose",
        "events",
        ["purged", "recorded_at_ms"],
        unique=False,
        sqlite_where=loose,
        postgresql_where=loose,
    )
    op.create_index("ix_idempotency_created_at_ms", "idempotency", ["created_at_ms"], unique=False)
