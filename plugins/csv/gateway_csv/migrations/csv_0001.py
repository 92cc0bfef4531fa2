"""What imports leave behind: rows that are known, columns that were told, how imports went."""

import sqlalchemy as sa
from alembic import op

revision = "csv_0001"
down_revision = None
branch_labels = ("csv",)
depends_on = None


def upgrade() -> None:
    """Create the four tables."""
    op.create_table(
        "csv_rows",
        sa.Column("account_id", sa.Text(), primary_key=True),
        sa.Column("mode", sa.Text(), primary_key=True),
        sa.Column("row_index", sa.LargeBinary(), primary_key=True),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("claimed_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_csv_rows_claimed_at_ms", "csv_rows", ["claimed_at_ms"])
    op.create_table(
        "csv_columns",
        sa.Column("account_id", sa.Text(), primary_key=True),
        sa.Column("mode", sa.Text(), primary_key=True),
        sa.Column("site", sa.Text(), primary_key=True),
        sa.Column("sender", sa.Text(), primary_key=True),
        sa.Column("header", sa.Text(), primary_key=True),
        sa.Column("field", sa.Text(), nullable=False),
    )
    op.create_table(
        "csv_imports",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("site", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.LargeBinary()),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
    )
    op.create_index("ix_csv_imports_updated_at_ms", "csv_imports", ["updated_at_ms"])
    op.create_table(
        "csv_rejected",
        sa.Column("import_id", sa.Text(), primary_key=True),
        sa.Column("part", sa.BigInteger(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
