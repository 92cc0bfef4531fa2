"""The queue's tables, as version 0.1.0 has them."""

import sqlalchemy as sa
from alembic import op

revision = "rx_queue_0001"
down_revision = None
branch_labels = ("rx_queue",)
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "rx_drug_words",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("din", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("word", "din", name=op.f("pk_rx_drug_words")),
    )
    op.create_index("ix_rx_drug_words_din", "rx_drug_words", ["din"], unique=False)
    op.create_table(
        "rx_drugs",
        sa.Column("din", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ingredients", sa.Text(), nullable=False),
        sa.Column("strength", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("schedules", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("loaded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("din", name=op.f("pk_rx_drugs")),
    )
    op.create_table(
        "rx_history",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_rx_history")),
    )
    op.create_index("ix_rx_history_job_id", "rx_history", ["job_id", "sequence"], unique=False)
    op.create_table(
        "rx_jobs",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("external_index", sa.LargeBinary(), nullable=True),
        sa.Column("patient_index", sa.LargeBinary(), nullable=True),
        sa.Column("fill_index", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("purged", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_rx_jobs")),
    )
    op.create_index(
        "ix_rx_jobs_account", "rx_jobs", ["account_id", "mode", "state", "id"], unique=False
    )
    op.create_index(
        "ix_rx_jobs_due",
        "rx_jobs",
        ["account_id", "mode", "due_at_ms", "sequence"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_rx_jobs_due_site",
        "rx_jobs",
        ["account_id", "mode", "site", "due_at_ms", "sequence"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_rx_jobs_fill",
        "rx_jobs",
        ["fill_index", "id"],
        unique=False,
        sqlite_where=sa.text("fill_index IS NOT NULL"),
        postgresql_where=sa.text("fill_index IS NOT NULL"),
    )
    op.create_index(
        "ix_rx_jobs_leased",
        "rx_jobs",
        ["lease_until_ms"],
        unique=False,
        sqlite_where=sa.text("state = 'writing'"),
        postgresql_where=sa.text("state = 'writing'"),
    )
    op.create_index(
        "ix_rx_jobs_over",
        "rx_jobs",
        ["purged", "state_at_ms"],
        unique=False,
        sqlite_where=sa.text("state IN ('completed', 'failed', 'resolved', 'rejected')"),
        postgresql_where=sa.text("state IN ('completed', 'failed', 'resolved', 'rejected')"),
    )
    op.create_index(
        "ix_rx_jobs_patient",
        "rx_jobs",
        ["patient_index", "sequence"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'writing')"),
        postgresql_where=sa.text("state IN ('queued', 'writing')"),
    )
    op.create_index("ix_rx_jobs_submission_id", "rx_jobs", ["submission_id"], unique=False)
    op.create_index(
        "uq_rx_jobs_external_index",
        "rx_jobs",
        ["external_index", "account_id", "mode", "place"],
        unique=True,
        sqlite_where=sa.text("external_index IS NOT NULL"),
        postgresql_where=sa.text("external_index IS NOT NULL"),
    )
    op.create_index("uq_rx_jobs_id", "rx_jobs", ["id"], unique=True)
