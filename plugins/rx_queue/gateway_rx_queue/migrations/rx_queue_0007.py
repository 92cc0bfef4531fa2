"""Indexes that a claim and a report read or write.

A claim looks for a patient's open jobs by patient and account: by the patient alone, SQLite took
the index of all that the patient ever had. For each row that is written, SQLite makes a table of a
list with more than two values. And a job of no site is in no site's queue.
"""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0007"
down_revision = "rx_queue_0006"
branch_labels = None
depends_on = None

_INDEXES = (
    (
        "ix_rx_jobs_patient",
        ["patient_index", "account_id", "sequence"],
        "state IN ('queued', 'writing')",
    ),
    (
        "ix_rx_jobs_over",
        ["purged", "state_at_ms"],
        "(state = 'completed' OR state = 'failed' OR state = 'resolved' OR state = 'rejected')",
    ),
    (
        "ix_rx_jobs_due_site",
        ["account_id", "mode", "site", "due_at_ms", "sequence"],
        "state = 'queued' AND site IS NOT NULL",
    ),
)


def upgrade() -> None:
    """Build them again."""
    for name, columns, rows in _INDEXES:
        condition = sa.text(rows)
        op.drop_index(name, table_name="rx_jobs")
        op.create_index(
            name,
            "rx_jobs",
            columns,
            unique=False,
            sqlite_where=condition,
            postgresql_where=condition,
        )
