"""Scans, their pictures, and the queue of those to read."""

import sqlalchemy as sa
from alembic import op

from gateway.plugin import queue_columns

revision = "labels_0001"
down_revision = None
branch_labels = ("labels",)
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "labels_scans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("site", sa.Text()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("read_at_ms", sa.BigInteger()),
        sa.Column("decided_at_ms", sa.BigInteger()),
        sa.Column("package_id", sa.Text()),
        sa.Column("picture_parts", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_labels_scans"),
    )
    op.create_index("ix_labels_scans_account_id", "labels_scans", ["account_id", "mode", "id"])
    op.create_index("ix_labels_scans_state", "labels_scans", ["state", "created_at_ms"])
    op.create_index("ix_labels_scans_decided_at_ms", "labels_scans", ["decided_at_ms"])
    op.create_table(
        "labels_pictures",
        sa.Column("scan_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", "part", name="pk_labels_pictures"),
    )
    op.create_table("labels_work", *queue_columns("labels_work"))
