"""What is due in all accounts, for the queue's metrics."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0004"
down_revision = "rx_queue_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index queued jobs by when they are due."""
    op.create_index(
        "ix_rx_jobs_due_anywhere",
        "rx_jobs",
        ["due_at_ms", "sequence"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
