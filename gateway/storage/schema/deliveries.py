"""Destinations, the outbox, its attempts and recoveries."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from gateway.storage.schema.columns import (
    BYTES,
    EXHAUSTED,
    FAILED,
    MS,
    SEQUENCE,
    metadata,
    only,
)

# A destination of events. removed_at_ms keeps the row, and so the log, of a removed one.
# failures, openings, opened_at_ms: its circuit breaker; nothing is sent before held_until_ms.
# probe_lease is the lease of the one delivery that is sent while the breaker is half open.
destinations = Table(
    "destinations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("sink", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("settings", BYTES, nullable=False),
    Column("max_in_flight", Integer, nullable=False),
    Column("max_per_second", Float),
    Column("ordered", Boolean, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("last_success_at_ms", MS),
    Column("failing_since_ms", MS),
    Column("disabled_at_ms", MS),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("openings", Integer, nullable=False, server_default=text("0")),
    Column("opened_at_ms", MS),
    Column("held_until_ms", MS),
    Column("probe_lease", Text),
    Column("warned_at_ms", MS),
    Column("removed_at_ms", MS),
    Index("ix_destinations_account_id", "account_id"),
)

# One event on its way to one destination: the outbox. due_at_ms is when it may be attempted
# next; a claim moves it to the end of the lease, so that a killed process's rows come due again.
# retry_index is the place in the retry schedule; sending again by hand sets it back to 0.
# in_order: an earlier one of the same subject must be finished before this one is sent.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("destination_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("in_order", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_index", Integer, nullable=False),
    Column("due_at_ms", MS, nullable=False),
    Column("lease", Text),
    Column("created_at_ms", MS, nullable=False),
    Column("first_attempt_at_ms", MS),
    Column("finished_at_ms", MS),
    PrimaryKeyConstraint("account_id", "id"),
    Index("ix_deliveries_due", "destination_id", "due_at_ms", **only("state = 'pending'")),
    Index(
        "ix_deliveries_in_order",
        "destination_id",
        "subject",
        "id",
        **only("state = 'pending' AND in_order"),
    ),
    Index("ix_deliveries_event_id", "event_id"),
    Index("ix_deliveries_exhausted", "account_id", "state", "id", **only(EXHAUSTED)),
)

# Events being sent again to one destination, a few at a time, and the progress.
recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("destination_id", Text, nullable=False),
    Column("since_ms", MS, nullable=False),
    Column("until_ms", MS, nullable=False),
    Column("cursor", Text, nullable=False),
    Column("looked_at", Integer, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("finished_at_ms", MS),
    Index("ix_recoveries_running", "id", **only("state = 'running'")),
)

# One attempt (the webhook log).
attempts = Table(
    "attempts",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("destination_id", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at_ms", MS, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("excerpt", BYTES),
    Index("ix_attempts_delivery_id", "delivery_id"),
    Index("ix_attempts_destination_id", "destination_id", "sequence"),
    Index("ix_attempts_failed", "destination_id", "delivered", "sequence", **only(FAILED)),
)
