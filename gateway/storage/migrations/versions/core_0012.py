"""Lists of few: test data, and deliveries without a proof."""

import sqlalchemy as sa
from alembic import op

revision = "core_0012"
down_revision = "core_0011"
branch_labels = None
depends_on = None

_TEST = "mode = 'test'"
_NO_PROOF = "(flags & 16) <> 0"


def upgrade() -> None:
    """Add three partial indexes."""
    for name, table, condition in (
        ("ix_packages_test", "packages", _TEST),
        ("ix_packages_no_proof", "packages", _NO_PROOF),
        ("ix_events_test", "events", _TEST),
    ):
        op.create_index(
            name,
            table,
            ["account_id", "id"],
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
