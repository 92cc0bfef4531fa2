"""The index of messages in work, also where shopify_0001 was applied before it had it.

shopify_0001 was changed once after databases had been made with it.
"""

import sqlalchemy as sa
from alembic import op

revision = "shopify_0003"
down_revision = "shopify_0002"
branch_labels = None
depends_on = None

_INDEX = "ix_shopify_messages_in_work"


def upgrade() -> None:
    """Create the index, unless it is there."""
    if _INDEX not in {
        each["name"] for each in sa.inspect(op.get_bind()).get_indexes("shopify_messages")
    }:
        op.create_index(
            _INDEX,
            "shopify_messages",
            ["lease_until_ms"],
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
