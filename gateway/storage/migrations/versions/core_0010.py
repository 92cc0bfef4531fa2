"""What a key may do, until when, when it was last used, and the MAC over its row."""

import sqlalchemy as sa
from alembic import op

revision = "core_0010"
down_revision = "core_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Keys that exist may do what they could; the next start binds them."""
    scopes: sa.Column[str] = sa.Column(
        "scopes", sa.Text(), server_default=sa.text("''"), nullable=False
    )
    op.add_column("api_keys", scopes)
    for name in ("expires_at_ms", "last_used_at_ms"):
        op.add_column("api_keys", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("binding", sa.LargeBinary(), nullable=True))
    op.execute(sa.text("UPDATE api_keys SET scopes = 'legacy'"))
    op.execute(
        sa.text(
            "INSERT INTO facts (name, value) SELECT 'unbound api keys', '1' "
            "WHERE EXISTS (SELECT 1 FROM api_keys)"
        )
    )
