"""People, how they sign in, their sessions and emergencies."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from gateway.storage.schema.columns import (
    BYTES,
    MS,
    metadata,
    only,
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
    Index("uq_people_login", "login", unique=True, **only("login IS NOT NULL")),
    Index("uq_people_subject", "issuer", "subject", unique=True, **only("issuer IS NOT NULL")),
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

# A factor: what a person signs in with. secret is sealed: a password's Argon2id hash, a TOTP
# secret, a passkey's public key, a recovery code's hash. counter is the last TOTP step that was
# used, or a passkey's signature counter.
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
    Index("uq_factors_credential", "credential", unique=True, **only("credential IS NOT NULL")),
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

# The typed text of a page whose session locked, for the same person only; sealed.
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

# A list that a person narrowed and gave a name: data is the name and the address's query, sealed.
saved_views = Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("data", BYTES, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Index("ix_saved_views_person_id", "person_id", "account_id", "page", "id"),
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

# The code that makes the first owner: a keyed hash, and the remaining attempts.
owner_codes = Table(
    "owner_codes",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("created_at_ms", MS, nullable=False),
    Column("expires_at_ms", MS, nullable=False),
    Column("tries_left", Integer, nullable=False),
)

# Used challenges and states of sign-ins, until they expire.
spent = Table(
    "spent",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("expires_at_ms", MS, nullable=False),
    Index("ix_spent_expires_at_ms", "expires_at_ms"),
)

# Attempts to sign in: by address and login (count is the failed ones, next_at_ms the end of the
# pause), and by network (count is the remaining ones). digest is the SHA-256 of these values.
sign_in_counts = Table(
    "sign_in_counts",
    metadata,
    Column("digest", BYTES, primary_key=True),
    Column("count", Float, nullable=False),
    Column("next_at_ms", MS, nullable=False),
    Column("last_at_ms", MS, nullable=False),
    Index("ix_sign_in_counts_last_at_ms", "last_at_ms"),
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
