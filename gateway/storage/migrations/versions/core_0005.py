"""Events remember which request brought them about, for traces."""

import sqlalchemy as sa
from alembic import op

revision = "core_0005"
down_revision = "core_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column."""
    op.add_column("events", sa.Column("trace", sa.Text(), nullable=True))
