"""Tries to sign in, counted over all processes; who made a key, and whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "core_0015"
down_revision = "core_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the two columns."""
    op.create_table(
        "sign_in_counts",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Float(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_counts")),
    )
    op.create_index("ix_sign_in_counts_last_at_ms", "sign_in_counts", ["last_at_ms"], unique=False)
    for name in ("made_by", "party"):
        op.add_column("api_keys", sa.Column(name, sa.Text(), nullable=True))
