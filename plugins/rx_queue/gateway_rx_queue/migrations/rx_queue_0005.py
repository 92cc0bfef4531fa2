"""Drafts of reviewers, and when each agent last asked for work."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0005"
down_revision = "rx_queue_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables; nothing that is stored changes."""
    op.create_table(
        "rx_drafts",
        sa.Column("job_id", sa.Text(), primary_key=True),
        sa.Column("actor", sa.Text(), primary_key=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "rx_agents",
        sa.Column("account_id", sa.Text(), primary_key=True),
        sa.Column("mode", sa.Text(), primary_key=True),
        sa.Column("actor", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("site", sa.Text()),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
    )
