"""Review by version, recall, links of jobs sent again, and the catalog's ingredients and date."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0002"
down_revision = "rx_queue_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and index jobs by patient instead of by patient and drug."""
    op.add_column("rx_jobs", sa.Column("version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("rx_jobs", sa.Column("content_index", sa.LargeBinary(), nullable=True))
    op.add_column("rx_jobs", sa.Column("replaces", sa.Text(), nullable=True))
    op.add_column("rx_jobs", sa.Column("replaced_by", sa.Text(), nullable=True))
    op.add_column("rx_jobs", sa.Column("recalled_at_ms", sa.BigInteger(), nullable=True))
    op.drop_index("ix_rx_jobs_fill", table_name="rx_jobs")
    op.create_index(
        "ix_rx_jobs_patient_id",
        "rx_jobs",
        ["patient_index", "id"],
        unique=False,
        sqlite_where=sa.text("patient_index IS NOT NULL"),
        postgresql_where=sa.text("patient_index IS NOT NULL"),
    )
    for name in ("parts", "product_class", "status"):
        op.add_column("rx_drugs", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.create_table(
        "rx_catalog",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("products", sa.Integer(), nullable=False),
        sa.Column("loaded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("dated", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rx_catalog")),
    )
