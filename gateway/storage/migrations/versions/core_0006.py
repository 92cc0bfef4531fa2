"""The lease of the probe that holds a destination whose breaker is open."""

import sqlalchemy as sa
from alembic import op

revision = "core_0006"
down_revision = "core_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a probe in flight is found as before: its lease ends with the pause."""
    op.add_column("destinations", sa.Column("probe_lease", sa.Text(), nullable=True))
    op.execute(
        sa.text(
            "UPDATE destinations SET probe_lease = (SELECT max(deliveries.lease) FROM deliveries "
            "WHERE deliveries.destination_id = destinations.id "
            "AND deliveries.state = 'pending' AND deliveries.lease IS NOT NULL "
            "AND deliveries.due_at_ms = destinations.held_until_ms) "
            "WHERE opened_at_ms IS NOT NULL"
        )
    )
