"""Imports in steps: the uploaded file, what was found in it, its packages, the queue of work."""

import sqlalchemy as sa
from alembic import op

from gateway.plugin import queue_columns

revision = "csv_0004"
down_revision = "csv_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns to the imports, and three tables; imports from before stay as they are."""
    for column in (
        sa.Column("origin", sa.Text()),
        sa.Column("details", sa.LargeBinary()),
        sa.Column("repeated", sa.BigInteger()),
        sa.Column("bagged", sa.BigInteger()),
        sa.Column("skipped", sa.BigInteger()),
        sa.Column("undone", sa.BigInteger()),
        sa.Column("stop_asked", sa.Boolean()),
        sa.Column("rejected_seen_at_ms", sa.BigInteger()),
    ):
        op.add_column("csv_imports", column)
    op.create_index("ix_csv_imports_account_id", "csv_imports", ["account_id", "mode", "id"])
    op.create_table(
        "csv_files",
        sa.Column("import_id", sa.Text(), primary_key=True),
        sa.Column("part", sa.BigInteger(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "csv_packages",
        sa.Column("import_id", sa.Text(), primary_key=True),
        sa.Column("package_id", sa.Text(), primary_key=True),
        sa.Column("row_keys", sa.LargeBinary(), nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger()),
    )
    op.create_table(
        "csv_work", *queue_columns("csv_work"), sa.Column("kind", sa.Text(), nullable=False)
    )
