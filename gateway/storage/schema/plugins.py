"""Tables of the core for plugins: state, credentials, inbox messages, runs of jobs."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from gateway.storage.schema.columns import BYTES, MS, SEQUENCE, metadata, only

# A plugin's small durable state, by account and key. A row without a value was deleted while it
# was locked.
plugin_state = Table(
    "plugin_state",
    metadata,
    Column("plugin", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", BYTES),
    Column("updated_at_ms", MS, nullable=False),
    PrimaryKeyConstraint("plugin", "account_id", "key"),
)

# A token of another system, and the process that is renewing it.
plugin_credentials = Table(
    "plugin_credentials",
    metadata,
    Column("plugin", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret", BYTES),
    Column("obtained_at_ms", MS),
    Column("expires_at_ms", MS),
    Column("lease", Text),
    Column("lease_until_ms", MS, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    PrimaryKeyConstraint("plugin", "account_id", "name"),
)

# When a job of the whole installation is due next, and the process that runs it.
job_runs = Table(
    "job_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("due_at_ms", MS, nullable=False),
    Column("lease", Text),
    Column("lease_until_ms", MS, nullable=False),
)

# A message for a plugin until it is handled; then its payload is deleted, and the row is kept for a
# week to recognise a repetition. outcome is a word about the last attempt, or the reason why it is
# held.
plugin_inbox = Table(
    "plugin_inbox",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("subject", Text),
    Column("state", Text, nullable=False),
    Column("due_at_ms", MS, nullable=False),
    Column("lease", Text),
    Column("lease_until_ms", MS),
    Column("attempts", Integer, nullable=False),
    Column("outcome", Text),
    Column("created_at_ms", MS, nullable=False),
    Column("payload", BYTES),
    Index("uq_plugin_inbox_id", "id", unique=True),
    Index("uq_plugin_inbox_key", "plugin", "source", "key", unique=True),
    Index("ix_plugin_inbox_subject", "plugin", "subject", "sequence"),
    Index("ix_plugin_inbox_due", "plugin", "due_at_ms", "sequence", **only("state = 'waiting'")),
    Index("ix_plugin_inbox_leased", "lease_until_ms", **only("state = 'waiting'")),
    Index("ix_plugin_inbox_held", "account_id", "id", **only("state = 'held'")),
    Index("ix_plugin_inbox_dead", "account_id", "id", **only("state = 'dead'")),
    Index("ix_plugin_inbox_done", "plugin", "created_at_ms", **only("state = 'done'")),
)
