"""Audit, version 2: the chain's keys, look-ups of patients, disclosures; usage of plans."""

import sqlalchemy as sa
from alembic import op

revision = "core_0008"
down_revision = "core_0007"
branch_labels = None
depends_on = None

_TEXTS = ("id", "kind", "fields", "site", "purpose", "via", "session", "outcome")


def upgrade() -> None:
    """Add columns and tables; the rows that are there keep their digests."""
    op.add_column("audit", sa.Column("chain_key", sa.Integer(), nullable=True))
    for name in _TEXTS:
        op.add_column("audit", sa.Column(name, sa.Text(), nullable=True))
    for name in ("address", "detail"):
        op.add_column("audit", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.create_index("ix_audit_id", "audit", ["id"], unique=False)
    op.create_index("ix_audit_subject", "audit", ["subject", "sequence"], unique=False)
    op.create_table(
        "patient_lookups",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", "value", name=op.f("pk_patient_lookups")),
    )
    op.create_index("ix_patient_lookups_value", "patient_lookups", ["value", "owner"])
    op.create_table(
        "disclosures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("patient", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disclosures")),
    )
    op.create_index("ix_disclosures_patient", "disclosures", ["patient", "recipient", "event_type"])
    op.create_index("ix_disclosures_last_at_ms", "disclosures", ["last_at_ms"])
    op.create_table(
        "plan_usage",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("limit_name", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "limit_name", "period", name=op.f("pk_plan_usage")),
    )
    op.add_column("packages", sa.Column("name_index", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_packages_name_index",
        "packages",
        ["name_index"],
        unique=False,
        sqlite_where=sa.text("name_index IS NOT NULL"),
        postgresql_where=sa.text("name_index IS NOT NULL"),
    )
