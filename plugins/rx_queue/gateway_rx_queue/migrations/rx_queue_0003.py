"""The dead letters of the queue, for its metrics."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0003"
down_revision = "rx_queue_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index failed jobs."""
    op.create_index(
        "ix_rx_jobs_failed",
        "rx_jobs",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("state = 'failed'"),
        postgresql_where=sa.text("state = 'failed'"),
    )
