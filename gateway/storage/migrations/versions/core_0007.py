"""Bags and clear columns: the numbers of a bag, and what lists of packages are filtered by.

Only columns that may be null and indexes of no row: the packages there are stay as they are,
and a job fills their columns while the gateway serves.
"""

import sqlalchemy as sa
from alembic import op

revision = "core_0007"
down_revision = "core_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add four columns, a table and their indexes."""
    for name in ("delivery_day", "priority", "driver_id"):
        op.add_column("packages", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("packages", sa.Column("flags", sa.Integer(), nullable=True))
    for name, columns, condition in (
        ("delivery_day", ["account_id", "delivery_day", "id"], "delivery_day IS NOT NULL"),
        ("priority", ["account_id", "priority", "id"], "priority <> 'routine'"),
        ("driver_id", ["account_id", "driver_id", "id"], "driver_id IS NOT NULL"),
        ("signature", ["account_id", "id"], "(flags & 1) <> 0"),
        ("refrigerated", ["account_id", "id"], "(flags & 2) <> 0"),
        ("controlled", ["account_id", "id"], "(flags & 4) <> 0"),
        ("needs_person", ["account_id", "id"], "(flags & 8) <> 0"),
        ("unfilled", ["account_id", "id"], "flags IS NULL"),
    ):
        op.create_index(
            f"ix_packages_{name}",
            "packages",
            columns,
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.create_table(
        "package_prescriptions",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("package_id", sa.Text(), nullable=False),
        sa.Column("rx_index", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "package_id", "rx_index", name=op.f("pk_package_prescriptions")
        ),
    )
    op.create_index(
        "ix_package_prescriptions_rx_index", "package_prescriptions", ["rx_index"], unique=False
    )
