"""The whole schema on one page. Migrations bring a database to this shape; a test compares.

Times are whole milliseconds since 1970 (``…_ms``). ``BYTES`` columns named ``secret``,
``payload``, ``data``, ``settings`` and ``excerpt`` are sealed
(:mod:`gateway.storage.crypto.encryption`); those ending in ``_index`` are blind indexes.
No patient data is in clear text. Every row names its account.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MS = BigInteger
# Packages in a final status, and events that no package's erasure includes.
FINISHED: Final = "status IN ('cancelled', 'completed', 'failed', 'returned')"
# Conditions of partial indexes, as the lists' queries repeat them.
EXHAUSTED: Final = "state = 'exhausted'"
FAILED: Final = "NOT delivered"
LOOSE: Final = "(substr(subject, 1, 4) <> 'pkg_' OR late)"
UNFILLED: Final = "flags IS NULL"
"""A package that an earlier version stored, whose clear columns are to be filled."""
NOT_ROUTINE: Final = "priority <> 'routine'"
FLAGS: Final[Mapping[str, int]] = {
    "signature": 1,
    "refrigerated": 2,
    "controlled": 4,
    "needs_person": 8,
}
"""The bits of ``packages.flags``."""


def flagged(flag: str) -> str:
    """Return the condition of a package that has ``flag``."""
    return f"(flags & {FLAGS[flag]}) <> 0"


class BYTES(LargeBinary):
    """Bytes, handed to the driver as they are: both of ours take them without wrapping."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Return nothing: there is nothing to process."""


SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


def _only(condition: str) -> dict[str, Any]:
    """Limit an index to the rows that the queries it serves ask for."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# A fact about the installation itself, such as which keyring its values are sealed with.
facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# A tenant.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at_ms", MS, nullable=False),
)

# A pharmacy of an account, as gateway.toml names it.
sites = Table(
    "sites",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("country", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "code"),
)

# A credential: the SHA-256 of the key, and enough of its beginning to recognise it by.
# scopes are permissions with spaces between. binding is a MAC over what the row grants: a row
# without the right one opens nothing.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("prefix", Text, nullable=False),
    Column("digest", BYTES, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("revoked_at_ms", MS),
    Column("scopes", Text, nullable=False, server_default=text("''")),
    Column("expires_at_ms", MS),
    Column("last_used_at_ms", MS),
    Column("binding", BYTES),
    Index("uq_api_keys_digest", "digest", unique=True),
)

# One order being delivered. order_index is unique for each source, so that the same order
# can't come in twice; the other indexes answer exact look-ups. purged: payload is erased.
# The clear columns (delivery_day, priority, driver_id, flags) are what lists are filtered by;
# flags is null until those of a package of an earlier version are filled.
packages = Table(
    "packages",
    metadata,
    Column("id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_at_ms", MS, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("order_index", BYTES),
    Column("rx_index", BYTES),
    Column("phone_index", BYTES),
    Column("patient_index", BYTES),
    Column("name_index", BYTES),
    Column("payload", BYTES, nullable=False),
    Column("purged", Boolean, nullable=False, server_default=false()),
    Column("delivery_day", Text),
    Column("priority", Text),
    Column("driver_id", Text),
    Column("flags", Integer),
    PrimaryKeyConstraint("account_id", "id"),
    Index(
        "uq_packages_order_index",
        "order_index",
        "account_id",
        "mode",
        "source",
        unique=True,
        **_only("order_index IS NOT NULL"),
    ),
    *(
        Index(f"ix_packages_{name}", name, **_only(f"{name} IS NOT NULL"))
        for name in ("rx_index", "phone_index", "patient_index", "name_index")
    ),
    Index("ix_packages_finished", "purged", "status_at_ms", **_only(FINISHED)),
    Index("ix_packages_status", "account_id", "status", "id"),
    Index(
        "ix_packages_delivery_day",
        "account_id",
        "delivery_day",
        "id",
        **_only("delivery_day IS NOT NULL"),
    ),
    Index("ix_packages_priority", "account_id", "priority", "id", **_only(NOT_ROUTINE)),
    Index(
        "ix_packages_driver_id", "account_id", "driver_id", "id", **_only("driver_id IS NOT NULL")
    ),
    *(Index(f"ix_packages_{flag}", "account_id", "id", **_only(flagged(flag))) for flag in FLAGS),
    Index("ix_packages_unfilled", "account_id", "id", **_only(UNFILLED)),
)

# The rx numbers of a bag but for the first, which is packages.rx_index.
package_prescriptions = Table(
    "package_prescriptions",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("package_id", Text, nullable=False),
    Column("rx_index", BYTES, nullable=False),
    PrimaryKeyConstraint("account_id", "package_id", "rx_index"),
    Index("ix_package_prescriptions_rx_index", "rx_index"),
)

# An event; never changed, but for its data, which is erased at its age (purged).
# ref is the digest of the reporter's own id of it; trace is the request's trace context.
events = Table(
    "events",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("occurred_at_ms", MS, nullable=False),
    Column("recorded_at_ms", MS, nullable=False),
    Column("actor", Text, nullable=False),
    Column("ref", BYTES),
    Column("status_after", Text),
    Column("late", Boolean, nullable=False),
    Column("trace", Text),
    Column("data", BYTES, nullable=False),
    Column("purged", Boolean, nullable=False, server_default=false()),
    Index("uq_events_id", "id", unique=True),
    Index("ix_events_subject", "subject", "sequence"),
    Index("uq_events_ref", "subject", "ref", unique=True, **_only("ref IS NOT NULL")),
    Index("ix_events_loose", "purged", "recorded_at_ms", **_only(LOOSE)),
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
    Index("ix_deliveries_due", "destination_id", "due_at_ms", **_only("state = 'pending'")),
    Index(
        "ix_deliveries_in_order",
        "destination_id",
        "subject",
        "id",
        **_only("state = 'pending' AND in_order"),
    ),
    Index("ix_deliveries_event_id", "event_id"),
    Index("ix_deliveries_exhausted", "account_id", "state", "id", **_only(EXHAUSTED)),
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
    Index("ix_recoveries_running", "id", **_only("state = 'running'")),
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
    Index("ix_attempts_failed", "destination_id", "delivered", "sequence", **_only(FAILED)),
)

# A replayable answer. The key is kept as a digest: a caller may have put a name in it.
idempotency = Table(
    "idempotency",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("key_digest", BYTES, nullable=False),
    Column("request_digest", BYTES, nullable=False),
    Column("response", BYTES, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    PrimaryKeyConstraint("account_id", "key_digest"),
    Index("ix_idempotency_created_at_ms", "created_at_ms"),
)

# Who did or saw what. digest covers the row, its look-ups and the digest before it, so that a
# row that was changed or taken out shows. Rows of the first version have no chain_key: their
# digest has no key, and patient_index names the record. Later ones have an id, and their digest
# is an HMAC under a key of the seal key number chain_key. address and detail are sealed.
audit = Table(
    "audit",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("at_ms", MS, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("patient_index", BYTES),
    Column("digest", BYTES, nullable=False),
    Column("chain_key", Integer),
    Column("id", Text),
    Column("kind", Text),
    Column("fields", Text),
    Column("site", Text),
    Column("purpose", Text),
    Column("via", Text),
    Column("session", Text),
    Column("outcome", Text),
    Column("address", BYTES),
    Column("detail", BYTES),
    Index("ix_audit_patient_index", "patient_index"),
    Index("ix_audit_id", "id"),
    Index("ix_audit_subject", "subject", "sequence"),
)

# What a patient is found by in the audit trail and the disclosures, and there alone: owner is
# an audit row, a folded disclosure, or the subject of events. value is a package's id or a blind
# index; it stays when the record itself is erased.
patient_lookups = Table(
    "patient_lookups",
    metadata,
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", BYTES, nullable=False),
    PrimaryKeyConstraint("owner", "name", "value"),
    Index("ix_patient_lookups_value", "value", "owner"),
)

# Disclosures of attempts that retention deleted: one row for a patient, a recipient and an event
# type. patient is the index that stands for the patient;
disclosures = Table(
    "disclosures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("patient", BYTES, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("first_at_ms", MS, nullable=False),
    Column("last_at_ms", MS, nullable=False),
    Column("count", Integer, nullable=False),
    Index("ix_disclosures_patient", "patient", "recipient", "event_type"),
    Index("ix_disclosures_last_at_ms", "last_at_ms"),
)

# How much of its plan an account has used: packages of a month (2026-04). A row is there only
# for an account with a plan.
plan_usage = Table(
    "plan_usage",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "limit_name", "period"),
)


# A person who signs in. login is the address that identifies them, folded; a person of an
# identity provider is (issuer, subject) instead and has no login: an address that a provider
# reports identifies no one. handle is the user handle of their passkeys.
people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("login", Text),
    Column("issuer", Text),
    Column("subject", Text),
    Column("handle", BYTES, nullable=False),
    Column("language", Text),
    Column("created_at_ms", MS, nullable=False),
    Column("disabled_at_ms", MS),
    Index("uq_people_login", "login", unique=True, **_only("login IS NOT NULL")),
    Index("uq_people_subject", "issuer", "subject", unique=True, **_only("issuer IS NOT NULL")),
    Index("uq_people_handle", "handle", unique=True),
)

# A person's role in an account; sites is a JSON list of codes, or NULL for all.
memberships = Table(
    "memberships",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("sites", Text),
    Column("created_at_ms", MS, nullable=False),
    PrimaryKeyConstraint("account_id", "person_id"),
    Index("ix_memberships_person_id", "person_id"),
)

# What a person signs in with. secret is sealed: a password's Argon2id hash, a TOTP secret, a
# passkey's public key, a recovery code's hash. counter is the last TOTP step that was used, or
# a passkey's signature counter.
factors = Table(
    "factors",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("credential", BYTES),
    Column("secret", BYTES, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("used_at_ms", MS),
    Index("ix_factors_person_id", "person_id"),
    Index("uq_factors_credential", "credential", unique=True, **_only("credential IS NOT NULL")),
)

# A signed-in browser: the SHA-256 of the cookie's 256 random bits. proved_at_ms is when a
# factor was last shown; is_strong says that two were, or a passkey.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("is_strong", Boolean, nullable=False),
    Column("agent", Text, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("seen_at_ms", MS, nullable=False),
    Column("proved_at_ms", MS, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Column("locked_at_ms", MS),
    Index("uq_sessions_id", "id", unique=True),
    Index("ix_sessions_person_id", "person_id"),
    Index("ix_sessions_expires_at_ms", "expires_at_ms"),
)

# What was typed when a session locked, for the same person only; sealed.
drafts = Table(
    "drafts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("data", BYTES, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Index("ix_drafts_person_id", "person_id"),
)

# A one-time link: to become a member of an account, or (person_id) to set new factors.
invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", BYTES, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("person_id", Text),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("sites", Text),
    Column("made_by", Text, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Column("used_at_ms", MS),
    Index("uq_invitations_digest", "digest", unique=True),
)

# The code that makes the first owner: a keyed hash, and how many tries are left.
owner_codes = Table(
    "owner_codes",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("created_at_ms", MS, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Column("tries_left", Integer, nullable=False),
)

# Challenges and states of sign-ins that were used, until they expire by themselves.
spent = Table(
    "spent",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("expires_at_ms", MS, nullable=False),
    Index("ix_spent_expires_at_ms", "expires_at_ms"),
)

# One record that a person opened in an emergency, and who reviewed it. reason is sealed.
break_glass = Table(
    "break_glass",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", BYTES, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Column("reviewed_by", Text),
    Column("reviewed_at_ms", MS),
    Index("ix_break_glass_person_id", "person_id", "subject"),
)

# A file kept here, sealed in file_chunks; subject is the package or the job it belongs to. ref
# is the digest of the report's own id that it came with. Links made until links_after_ms are
# revoked.
files = Table(
    "files",
    metadata,
    Column("id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("thumbnail_bytes", Integer, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Column("actor", Text, nullable=False),
    Column("ref", BYTES),
    Column("links_after_ms", MS),
    PrimaryKeyConstraint("account_id", "id"),
    Index("uq_files_id", "id", unique=True),
    Index("ix_files_subject", "subject", "id"),
    Index("ix_files_created_at_ms", "created_at_ms", "id"),
)

# A piece of a file or of its thumbnail (part): number, from 0, of so many pieces.
file_chunks = Table(
    "file_chunks",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("pieces", Integer, nullable=False),
    Column("payload", BYTES, nullable=False),
    PrimaryKeyConstraint("account_id", "file_id", "part", "number"),
)
