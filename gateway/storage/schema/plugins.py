"""What the core keeps for plugins: their state, their credentials, the runs of their jobs."""

from sqlalchemy import Column, PrimaryKeyConstraint, Table, Text, text

from gateway.storage.schema.columns import BYTES, MS, metadata

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

# A token of another party's, and the process that is renewing it.
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
