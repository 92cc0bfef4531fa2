"""Why an event went to no destination."""

import sqlalchemy as sa
from alembic import op

revision = "core_0014"
down_revision = "core_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of events from before nothing is known."""
    op.add_column("events", sa.Column("not_sent", sa.Text(), nullable=True))
