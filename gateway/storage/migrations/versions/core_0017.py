"""The inboxes of plugins."""

import sqlalchemy as sa
from alembic import op

revision = "core_0017"
down_revision = "core_0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and its indexes."""
    op.create_table(
        "plugin_inbox",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("site", sa.Text()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.Text()),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_plugin_inbox")),
    )
    for name, columns, unique, state in (
        ("uq_plugin_inbox_id", ["id"], True, None),
        ("uq_plugin_inbox_key", ["plugin", "source", "key"], True, None),
        ("ix_plugin_inbox_subject", ["plugin", "subject", "sequence"], False, None),
        ("ix_plugin_inbox_due", ["plugin", "due_at_ms", "sequence"], False, "waiting"),
        ("ix_plugin_inbox_leased", ["lease_until_ms"], False, "waiting"),
        ("ix_plugin_inbox_held", ["account_id", "id"], False, "held"),
        ("ix_plugin_inbox_dead", ["account_id", "id"], False, "dead"),
        ("ix_plugin_inbox_done", ["plugin", "created_at_ms"], False, "done"),
    ):
        rows = None if state is None else sa.text(f"state = '{state}'")
        op.create_index(
            name,
            "plugin_inbox",
            columns,
            unique=unique,
            sqlite_where=rows,
            postgresql_where=rows,
        )
