"""The whole schema. Migrations bring a database to this shape; a test compares.

Times are whole milliseconds since 1970 (``…_ms``). ``BYTES`` columns named ``secret``,
``payload``, ``data``, ``settings``, ``excerpt`` and ``secret`` are sealed
(:mod:`gateway.storage.crypto.encryption`); those ending in ``_index`` are blind indexes.
No patient data is in clear text. Every row names its account.
"""

from gateway.storage.schema.audit import (
    audit,
    disclosures,
    patient_lookups,
)
from gateway.storage.schema.columns import (
    BYTES,
    EXHAUSTED,
    FAILED,
    FINISHED,
    FLAGS,
    LOOSE,
    MS,
    NOT_ROUTINE,
    SEQUENCE,
    TEST,
    UNFILLED,
    flagged,
    metadata,
)
from gateway.storage.schema.deliveries import (
    attempts,
    deliveries,
    destinations,
    recoveries,
)
from gateway.storage.schema.installation import (
    accounts,
    api_keys,
    changes,
    facts,
    idempotency,
    plan_usage,
    sites,
)
from gateway.storage.schema.packages import (
    events,
    file_chunks,
    files,
    package_prescriptions,
    packages,
)
from gateway.storage.schema.people import (
    break_glass,
    drafts,
    factors,
    invitations,
    memberships,
    owner_codes,
    people,
    sessions,
    sign_in_counts,
    spent,
)
from gateway.storage.schema.plugins import (
    job_runs,
    plugin_credentials,
    plugin_inbox,
    plugin_state,
)

__all__ = [
    "BYTES",
    "EXHAUSTED",
    "FAILED",
    "FINISHED",
    "FLAGS",
    "LOOSE",
    "MS",
    "NOT_ROUTINE",
    "SEQUENCE",
    "TEST",
    "UNFILLED",
    "accounts",
    "api_keys",
    "attempts",
    "audit",
    "break_glass",
    "changes",
    "deliveries",
    "destinations",
    "disclosures",
    "drafts",
    "events",
    "factors",
    "facts",
    "file_chunks",
    "files",
    "flagged",
    "idempotency",
    "invitations",
    "job_runs",
    "memberships",
    "metadata",
    "owner_codes",
    "package_prescriptions",
    "packages",
    "patient_lookups",
    "people",
    "plan_usage",
    "plugin_credentials",
    "plugin_inbox",
    "plugin_state",
    "recoveries",
    "sessions",
    "sign_in_counts",
    "sites",
    "spent",
]
