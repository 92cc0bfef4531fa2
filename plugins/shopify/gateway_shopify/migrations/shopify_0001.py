"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "shopify_0001"
down_revision = None
branch_labels = ("shopify",)
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "shopify_shops",
        sa.Column("shop", sa.Text(), primary_key=True),
        sa.Column("live_destination_id", sa.Text(), nullable=False),
        sa.Column("test_destination_id", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("token_expires_at_ms", sa.BigInteger()),
        sa.Column("reconciled_to_ms", sa.BigInteger()),
        sa.Column("connected_at_ms", sa.BigInteger()),
        sa.Column("uninstalled_at_ms", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
    )
    op.create_table(
        "shopify_messages",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("order_index", sa.LargeBinary()),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("body", sa.LargeBinary()),
    )
    op.create_index(
        "uq_shopify_messages_webhook_id", "shopify_messages", ["shop", "webhook_id"], unique=True
    )
    for name, column in (("waiting", "id"), ("in_work", "lease_until_ms")):
        op.create_index(
            f"ix_shopify_messages_{name}",
            "shopify_messages",
            [column],
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
    op.create_index("ix_shopify_messages_order_index", "shopify_messages", ["order_index"])
    op.create_table(
        "shopify_orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("order_index", sa.LargeBinary(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("package_id", sa.Text()),
        sa.Column("fulfillment_id", sa.Text()),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shop", "order_index"),
    )
    op.create_index("uq_shopify_orders_id", "shopify_orders", ["id"], unique=True)
    op.create_index("ix_shopify_orders_package_id", "shopify_orders", ["package_id"])
    op.create_index("ix_shopify_orders_state", "shopify_orders", ["state", "id"])
    op.create_table(
        "shopify_requests",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.Column("report", sa.LargeBinary(), nullable=False),
    )
