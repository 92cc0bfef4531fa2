"""Packages, their prescriptions, events and files."""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
)

from gateway.storage.schema.columns import (
    BY_SITE,
    BY_SOURCE,
    BY_TYPE,
    BYTES,
    DID_FAIL,
    FINISHED,
    FLAGS,
    LOOSE,
    MS,
    NOT_ROUTINE,
    RARE_FLAGS,
    SEQUENCE,
    TEST,
    UNFILLED,
    flagged,
    metadata,
    only,
)

# One order being delivered. order_index is unique for each source, so that the same order can't be
# stored twice; the other indexes answer exact look-ups. purged: payload is erased. Lists are
# filtered by the clear columns (delivery_day, priority, driver_id, flags); for a package of an
# earlier version flags is null until they are filled.
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
        **only("order_index IS NOT NULL"),
    ),
    *(
        Index(f"ix_packages_{name}", name, **only(f"{name} IS NOT NULL"))
        for name in ("rx_index", "phone_index", "patient_index", "name_index")
    ),
    # What was delivered in an hour is counted from the index alone.
    Index(
        "ix_packages_finished",
        "purged",
        "status_at_ms",
        "account_id",
        "mode",
        "status",
        "site",
        **only(FINISHED),
    ),
    Index("ix_packages_status", "account_id", "status", "id"),
    Index("ix_packages_failed", "account_id", "mode", "id", "site", "status", **only(DID_FAIL)),
    Index(
        "ix_packages_delivery_day",
        "account_id",
        "delivery_day",
        "id",
        **only("delivery_day IS NOT NULL"),
    ),
    Index("ix_packages_priority", "account_id", "priority", "id", **only(NOT_ROUTINE)),
    Index(
        "ix_packages_driver_id", "account_id", "driver_id", "id", **only("driver_id IS NOT NULL")
    ),
    *(
        Index(f"ix_packages_{flag}", "account_id", "id", **only(flagged(flag)))
        for flag in FLAGS
        if flag not in RARE_FLAGS
    ),
    # Counted for every page, from the index alone, because the rows are all over the table.
    *(
        Index(
            f"ix_packages_{flag}", "account_id", "mode", "id", "site", *more, **only(flagged(flag))
        )
        for flag, more in RARE_FLAGS.items()
    ),
    Index("ix_packages_site", "account_id", "site", "id", **only(BY_SITE)),
    Index("ix_packages_source", "account_id", "source", "id", **only(BY_SOURCE)),
    Index("ix_packages_unfilled", "account_id", "id", **only(UNFILLED)),
    Index("ix_packages_test", "account_id", "id", **only(TEST)),
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

# An event; never changed, except that its data is erased at its age (purged). ref is the digest of
# the reporter's own id of it; trace is the request's trace context; not_sent is the reason why it
# went to no destination.
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
    Column("not_sent", Text),
    Index("uq_events_id", "id", unique=True),
    Index("ix_events_subject", "subject", "sequence"),
    Index("uq_events_ref", "subject", "ref", unique=True, **only("ref IS NOT NULL")),
    Index("ix_events_loose", "purged", "recorded_at_ms", **only(LOOSE)),
    Index("ix_events_site", "account_id", "site", "id", **only(BY_SITE)),
    Index("ix_events_type", "account_id", "type", "id", **only(BY_TYPE)),
    Index("ix_events_test", "account_id", "id", **only(TEST)),
)

# A stored file, sealed in file_chunks; subject is the package or job that it belongs to. ref is the
# digest of the reference of the report that it was sent with. Links made until links_after_ms are
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
