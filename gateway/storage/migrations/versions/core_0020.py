"""What was delivered in an hour is counted in the index of finished packages, no row is read.

The page Today counts its own hours, and those of the same weekday of eight weeks.
"""

import sqlalchemy as sa
from alembic import op

revision = "core_0020"
down_revision = "core_0019"
branch_labels = None
depends_on = None

_FINISHED = "status IN ('cancelled', 'completed', 'failed', 'returned')"


def upgrade() -> None:
    """Build the index again, with more columns."""
    condition = sa.text(_FINISHED)
    op.drop_index("ix_packages_finished", table_name="packages")
    op.create_index(
        "ix_packages_finished",
        "packages",
        ["purged", "status_at_ms", "account_id", "mode", "status", "site"],
        unique=False,
        sqlite_where=condition,
        postgresql_where=condition,
    )
