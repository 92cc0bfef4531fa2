"""The audit trail, the values that find a patient in it, and disclosures."""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from gateway.storage.schema.columns import (
    BY_ACTION,
    BY_ACTOR,
    BYTES,
    MS,
    RARE_KIND,
    SEQUENCE,
    metadata,
    only,
)

# Who did or saw what. digest covers the row, its look-ups and the digest before it, so that a
# changed or deleted row is noticed. Rows of the first version have no chain_key: their digest has
# no key, and patient_index names the record. Later ones have an id, and their digest is an HMAC
# under a key of the seal key number chain_key. address and detail are sealed.
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
    Index("ix_audit_actor", "account_id", "actor", "sequence", **only(BY_ACTOR)),
    Index("ix_audit_action", "account_id", "action", "sequence", **only(BY_ACTION)),
    Index("ix_audit_kind", "account_id", "kind", "sequence", **only(RARE_KIND)),
    Index("ix_audit_subject", "subject", "sequence"),
)

# The values by which only the audit trail and the disclosures find a patient: owner is an audit
# row, a folded disclosure, or the subject of events. value is a package's id or a blind index; it
# stays when the record itself is erased.
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
