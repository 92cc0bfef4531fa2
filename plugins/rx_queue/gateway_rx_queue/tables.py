"""The queue's tables. Migrations create this schema.

Times are whole milliseconds since 1970 (``…_ms``). ``payload`` is sealed; columns ending in
``_index`` are blind indexes. No patient data is stored in clear. The drug catalog is public.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    select,
    text,
)

from gateway.plugin import AsyncConnection, DueColumn, PluginTables, QueueTable, SealedColumn
from gateway_rx_queue.settings import LONGEST_LEASE_SECONDS

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Written out in each query: SQLite uses a partial index only when the query
# repeats its condition (https://www.sqlite.org/partialindex.html).
QUEUED: Final = "state = 'queued'"
WRITING: Final = "state = 'writing'"
OPEN: Final = "state IN ('queued', 'writing')"
APPROVED: Final = "approved_at_ms IS NOT NULL"
# Not as a list: for each row that is written, SQLite would make a table of one with more than two.
OVER: Final = (
    "(state = 'completed' OR state = 'failed' OR state = 'resolved' OR state = 'rejected')"
)
QUEUED_AT_SITE: Final = f"{QUEUED} AND site IS NOT NULL"


SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")


def _only(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition)}


# One drug for one patient, on its way into the pharmacy system. sequence is the order of arrival:
# ids of one millisecond, or after a clock was set back, have no order. submission_id and place link
# the drugs of one submission. attempts counts the attempts of this round; a reviewer's approval
# begins a new round. due_at_ms is when a queued job may be leased, lease_until_ms the end of the
# lease. patient_index keeps a patient's jobs in order, fill_index finds earlier ones of the same
# drug, external_index the sender's own id, content_index the same content under that id. version
# counts the changes, so that a reviewer decides about the version that they saw. replaces and
# replaced_by link a job with the rejected one that it was sent for again. recalled_at_ms: the
# sender withdrew it. purged: the payload is erased.
rx_jobs: Final = Table(
    "rx_jobs",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),
    Column("submission_id", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("lease", Text),
    Column("lease_until_ms", BigInteger),
    Column("claimed_by", Text),
    Column("claimed_until_ms", BigInteger),
    Column("approved_by", Text),
    Column("approved_at_ms", BigInteger),
    Column("external_index", LargeBinary),
    Column("patient_index", LargeBinary),
    Column("fill_index", LargeBinary),
    Column("payload", LargeBinary, nullable=False),
    Column("purged", Boolean, nullable=False, server_default=false()),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("content_index", LargeBinary),
    Column("replaces", Text),
    Column("replaced_by", Text),
    Column("recalled_at_ms", BigInteger),
    Index("uq_rx_jobs_id", "id", unique=True),
    Index(
        "uq_rx_jobs_external_index",
        "external_index",
        "account_id",
        "mode",
        "place",
        unique=True,
        **_only("external_index IS NOT NULL"),
    ),
    Index("ix_rx_jobs_due", "account_id", "mode", "due_at_ms", "sequence", **_only(QUEUED)),
    Index(
        "ix_rx_jobs_due_site",
        "account_id",
        "mode",
        "site",
        "due_at_ms",
        "sequence",
        **_only(QUEUED_AT_SITE),
    ),
    Index("ix_rx_jobs_due_anywhere", "due_at_ms", "sequence", **_only(QUEUED)),
    Index("ix_rx_jobs_leased", "lease_until_ms", **_only(WRITING)),
    # With the account: by the patient alone, SQLite would read all that a patient ever had.
    Index("ix_rx_jobs_patient", "patient_index", "account_id", "sequence", **_only(OPEN)),
    Index("ix_rx_jobs_patient_id", "patient_index", "id", **_only("patient_index IS NOT NULL")),
    Index("ix_rx_jobs_submission_id", "submission_id"),
    Index("ix_rx_jobs_account", "account_id", "mode", "state", "id"),
    Index("ix_rx_jobs_over", "purged", "state_at_ms", **_only(OVER)),
    Index("ix_rx_jobs_approved", "account_id", "mode", "approved_at_ms", **_only(APPROVED)),
    Index("ix_rx_jobs_failed", "sequence", **_only("state = 'failed'")),
)

# One change of one job: actor, time, states and cause. Appended, never changed.
rx_history: Final = Table(
    "rx_history",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_rx_history_job_id", "job_id", "sequence"),
)

# The drug catalog: the entry of each DIN in Health Canada's extract.
rx_drugs: Final = Table(
    "rx_drugs",
    metadata,
    Column("din", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("ingredients", Text, nullable=False),
    Column("strength", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("schedules", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("loaded_at_ms", BigInteger, nullable=False),
    Column("parts", Text, nullable=False, server_default=""),
    Column("product_class", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False, server_default=""),
)

# One row: the loaded extract, and its day.
rx_catalog: Final = Table(
    "rx_catalog",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("products", Integer, nullable=False),
    Column("loaded_at_ms", BigInteger, nullable=False),
    Column("dated", Text),
)

# The words of each drug's name and ingredients.
rx_drug_words: Final = Table(
    "rx_drug_words",
    metadata,
    Column("word", Text, primary_key=True),
    Column("din", Text, primary_key=True),
    Index("ix_rx_drug_words_din", "din"),
)

# A reviewer's undecided input, sealed: one draft for each reviewer and job. It is deleted when the
# job is decided.
rx_drafts: Final = Table(
    "rx_drafts",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# When each agent last asked for jobs, with or without getting any; name is its key's.
rx_agents: Final = Table(
    "rx_agents",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("site", Text),
    Column("asked_at_ms", BigInteger, nullable=False),
)


def draft_row_id(job_id: str, actor: str) -> str:
    """Return the id that a draft is sealed for."""
    return f"{job_id}/{actor}"


# Attempts are counted and scheduled by the queue's own settings, with history and events. A
# lease is an agent's: it outlives the gateway's process.
JOBS: Final = QueueTable(
    name="rx-jobs",
    table=rx_jobs,
    lease="lease",
    subject="patient_index",
    partition="account_id",
    waiting="queued",
    leased="writing",
    done="completed",
    dead="failed",
    backoff_seconds=None,
    max_lease_seconds=LONGEST_LEASE_SECONDS,
    held_by_process=False,
)


async def _unresolved(connection: AsyncConnection, ids: Collection[str]) -> Collection[str]:
    """Return those of ``ids`` that are unfinished jobs."""
    waiting = select(rx_jobs.c.id).where(rx_jobs.c.id.in_(sorted(ids)), text(f"NOT ({OVER})"))
    return set((await connection.execute(waiting)).scalars())


TABLES: Final = PluginTables(
    metadata,
    Path(__file__).parent / "migrations",
    sealed=(
        SealedColumn(rx_jobs, "payload", ("sequence",), lambda row: str(row.id)),
        SealedColumn(
            rx_drafts,
            "payload",
            ("job_id", "actor"),
            lambda row: draft_row_id(row.job_id, row.actor),
        ),
    ),
    unresolved=_unresolved,
    due_columns=(DueColumn(rx_jobs.c.claimed_until_ms),),
    queues=(JOBS,),
    prefix="rx_",
)
