"""The installation, its tenants, their keys and plans."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from gateway.storage.schema.columns import (
    BYTES,
    MS,
    SEQUENCE,
    metadata,
)

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

# A pharmacy of an account, as gateway.toml declares it.
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

# A credential: the SHA-256 of the key, and enough of its beginning to recognise it by. scopes are
# permissions with spaces between. binding is a MAC over the row's permissions: a row without a
# valid one opens nothing. made_by is the person who made the key: while they are disabled or no
# member, it opens nothing. party is another organisation that uses the key.
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
    Column("made_by", Text),
    Column("party", Text),
    Index("uq_api_keys_digest", "digest", unique=True),
)

# How much of its plan an account has used: packages of a month (2026-04). Only accounts with a plan
# have a row.
plan_usage = Table(
    "plan_usage",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "limit_name", "period"),
)

# The changes of one topic, mode and site in one transaction, for open pages; kept for an hour. ids
# are the first ones, separated by spaces; count is the number of all. mode is null for changes that
# belong to both modes.
changes = Table(
    "changes",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text),
    Column("site", Text),
    Column("count", Integer, nullable=False),
    Column("ids", Text, nullable=False),
    Column("at_ms", MS, nullable=False),
)

# A replayable response. The key is stored as a digest, because a caller may have put a name in it.
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
