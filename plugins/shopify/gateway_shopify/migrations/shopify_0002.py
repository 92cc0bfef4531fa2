"""The inbox as a work queue, times of webhooks in milliseconds, and orders that need a person."""

import sqlalchemy as sa
from alembic import op

revision = "shopify_0002"
down_revision = "shopify_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column, and the indexes of the new queries."""
    op.add_column("shopify_messages", sa.Column("triggered_at_ms", sa.BigInteger()))
    op.drop_index("ix_shopify_messages_waiting", "shopify_messages")
    for name, columns, rows in (
        ("due", ["due_at_ms", "id"], "state = 'waiting'"),
        ("failed", ["id"], "state = 'failed'"),
    ):
        op.create_index(
            f"ix_shopify_messages_{name}",
            "shopify_messages",
            columns,
            sqlite_where=sa.text(rows),
            postgresql_where=sa.text(rows),
        )
    op.create_index("ix_shopify_orders_reason", "shopify_orders", ["reason", "id"])
