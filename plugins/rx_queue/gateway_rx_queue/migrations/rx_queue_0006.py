"""Approvals by time, for the list of what reviewers decided today."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0006"
down_revision = "rx_queue_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index approved jobs: few of all."""
    op.create_index(
        "ix_rx_jobs_approved",
        "rx_jobs",
        ["account_id", "mode", "approved_at_ms"],
        unique=False,
        sqlite_where=sa.text("approved_at_ms IS NOT NULL"),
        postgresql_where=sa.text("approved_at_ms IS NOT NULL"),
    )
