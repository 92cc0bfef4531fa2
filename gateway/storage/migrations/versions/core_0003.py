"""The circuit breaker's state, and since when a destination is disabled."""

import sqlalchemy as sa
from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no destination is held back to begin with."""
    for name in ("failures", "openings"):
        count: sa.Column[int] = sa.Column(
            name, sa.Integer(), server_default=sa.text("0"), nullable=False
        )
        op.add_column("destinations", count)
    for name in ("disabled_at_ms", "opened_at_ms", "held_until_ms", "warned_at_ms"):
        op.add_column("destinations", sa.Column(name, sa.BigInteger(), nullable=True))
