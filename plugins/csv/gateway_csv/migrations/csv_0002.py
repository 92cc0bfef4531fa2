"""Rows are known by what identifies them: what else they say, and when they were seen last."""

import sqlalchemy as sa
from alembic import op

revision = "csv_0002"
down_revision = "csv_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three columns; a row from before has none of them."""
    op.add_column("csv_rows", sa.Column("content", sa.LargeBinary()))
    op.add_column("csv_rows", sa.Column("seen_at_ms", sa.BigInteger()))
    op.add_column("csv_rows", sa.Column("is_lasting", sa.Boolean()))
