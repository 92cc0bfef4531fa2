"""The plugin's tables; they hold no patient data in clear.

``BYTES`` columns are sealed, but for ``order_index``, a blind index of the order's id. Times
are whole milliseconds since 1970.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy import (
    text as sql_text,
)

from gateway.plugin import PluginTables, SealedColumn

metadata: Final = MetaData()
_WAITING: Final = sql_text("state = 'waiting'")
_FAILED: Final = sql_text("state = 'failed'")

# A shop: its destinations, and the time it is reconciled to. The token is of earlier versions:
# it moves to the gateway's credentials (carry_over.py).
shops: Final = Table(
    "shopify_shops",
    metadata,
    Column("shop", Text, primary_key=True),
    Column("live_destination_id", Text, nullable=False),
    Column("test_destination_id", Text, nullable=False),
    Column("token", LargeBinary),
    Column("token_expires_at_ms", BigInteger),
    Column("reconciled_to_ms", BigInteger),
    Column("connected_at_ms", BigInteger),
    Column("uninstalled_at_ms", BigInteger),
    Column("last_error", Text),
)

# The inbox of earlier versions: its messages move to the gateway's (carry_over.py).
messages: Final = Table(
    "shopify_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("webhook_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("order_index", LargeBinary),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", Text),
    Column("body", LargeBinary),
    Column("triggered_at_ms", BigInteger),
    Index("uq_shopify_messages_webhook_id", "shop", "webhook_id", unique=True),
    *(
        Index(f"ix_shopify_messages_{name}", *columns, sqlite_where=rows)
        for name, columns, rows in (
            ("due", ("due_at_ms", "id"), _WAITING),
            ("in_work", ("lease_until_ms",), _WAITING),
            ("failed", ("id",), _FAILED),
        )
    ),
    Index("ix_shopify_messages_order_index", "order_index"),
)

# The last known state of an order, and its package.
orders: Final = Table(
    "shopify_orders",
    metadata,
    Column("id", Text, nullable=False),
    Column("shop", Text, nullable=False),
    Column("order_index", LargeBinary, nullable=False),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("package_id", Text),
    Column("fulfillment_id", Text),
    Column("facts", LargeBinary, nullable=False),
    PrimaryKeyConstraint("shop", "order_index"),
    Index("uq_shopify_orders_id", "id", unique=True),
    Index("ix_shopify_orders_package_id", "package_id"),
    Index("ix_shopify_orders_state", "state", "id"),
    Index("ix_shopify_orders_reason", "reason", "id"),
)

# A request of the compliance topics, and its report.
requests: Final = Table(
    "shopify_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Column("report", LargeBinary, nullable=False),
)

TABLES: Final = PluginTables(
    metadata,
    Path(__file__).parent / "migrations",
    sealed=(
        SealedColumn(shops, "token", ("shop",), lambda row: str(row.shop)),
        SealedColumn(messages, "body", ("id",), lambda row: str(row.id)),
        SealedColumn(orders, "facts", ("shop", "order_index"), lambda row: str(row.id)),
        SealedColumn(requests, "report", ("id",), lambda row: str(row.id)),
    ),
)
