"""The indexes of packages with a rare flag have all that is asked when they are counted.

Every page says how many need a person. Those lie all over the table, a page of the disk for each.
"""

import sqlalchemy as sa
from alembic import op

revision = "core_0019"
down_revision = "core_0018"
branch_labels = None
depends_on = None

_INDEXES = (
    (
        "needs_person",
        ("site", "status", "driver_id", "purged", "status_at_ms", "flags"),
        "(flags & 8) <> 0",
    ),
    ("no_proof", ("site", "flags"), "(flags & 16) <> 0"),
)


def upgrade() -> None:
    """Build both indexes again, with more columns."""
    for name, columns, rows in _INDEXES:
        condition = sa.text(rows)
        op.drop_index(f"ix_packages_{name}", table_name="packages")
        op.create_index(
            f"ix_packages_{name}",
            "packages",
            ["account_id", "mode", "id", *columns],
            unique=False,
            sqlite_where=condition,
            postgresql_where=condition,
        )
