"""The changes of one transaction: jobs, history, events, audit entries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from gateway.plugin import (
    AsyncConnection,
    AuditEntry,
    Caller,
    Change,
    EventDraft,
    Gateway,
    Mode,
    Published,
    note_changes,
    to_epoch_ms,
    via_of,
)
from gateway_rx_queue import events
from gateway_rx_queue.drafts import drop_drafts
from gateway_rx_queue.job import NEXT, Job
from gateway_rx_queue.mapping import HistoryRow
from gateway_rx_queue.schema import State
from gateway_rx_queue.store import JobStore, StoredJob

TOPIC: Final = "prescriptions"
"""The topic by which pages of the queue refresh."""

Shown = Literal["identity", "rx"]
"""A group of fields that a reader sees in full."""

_ALL_GROUPS: Final[tuple[Shown, ...]] = ("identity", "rx")
_PUBLISHED: frozenset[State] = frozenset(
    {"completed", "resolved", "failed", "rejected", "excepted"}
)


class Changes:
    """Collects the changes of a transaction and writes them at once."""

    def __init__(self, gateway: Gateway, store: JobStore, now: datetime) -> None:
        self.now = now
        self.now_ms = to_epoch_ms(now)
        self._gateway = gateway
        self._store = store
        self._new: list[Job] = []
        self._changed: dict[str, tuple[Job, Job]] = {}
        self._history: list[HistoryRow] = []
        self._drafts: list[EventDraft] = []
        self._audit: list[AuditEntry] = []
        self._replaced: list[tuple[str, str]] = []
        self._touched: dict[tuple[str, Mode, str | None], dict[str, None]] = {}

    def add(self, job: Job, actor: str) -> None:
        """Add a new job; a job with reasons for review becomes ``excepted`` at once."""
        self._new.append(job)
        self._touch(job)
        self._note(job, None, "queued", actor, "submitted")
        self._drafts.append(events.queued(job, actor, self.now))
        if job.state == "excepted":
            self._note(job, "queued", "excepted", actor, "rules")
            self._drafts.append(events.ended(job, actor, self.now))

    def move(self, job: Job, state: State, actor: str, why: str, **changes: Any) -> Job:
        """Move a job to ``state``; returns the changed job."""
        if state not in NEXT[job.state]:
            raise AssertionError(f"a job can't go from {job.state} to {state}")
        changes |= {"state": state, "state_at_ms": self.now_ms}
        if job.state == "writing":
            changes |= {"lease": None, "lease_until_ms": None}
        moved = self.change(job, **changes)
        self._note(job, job.state, state, actor, why)
        if state in _PUBLISHED:
            self._drafts.append(events.ended(moved, actor, self.now))
        return moved

    def change(self, job: Job, **changes: Any) -> Job:
        """Change a job without a change of state and without an event."""
        changed = msgspec.structs.replace(job, **{"version": job.version + 1, **changes})
        was, _ = self._changed.get(job.id, (job, job))
        self._changed[job.id] = (was, changed)
        self._touch(job)
        return changed

    def replace(self, old: StoredJob, new_id: str, account_id: str, actor: str) -> None:
        """Link a rejected job with its replacement; its external id becomes free."""
        self._replaced.append((old.id, new_id))
        self._history.append(
            HistoryRow(
                account_id, old.id, self.now_ms, actor, old.state, old.state, f"sent_again:{new_id}"
            )
        )

    def note(self, job: Job, actor: str, why: str) -> None:
        """Add a history row to a job whose state stays."""
        self._note(job, job.state, job.state, actor, why)

    def announce(self, draft: EventDraft) -> None:
        """Add an event."""
        self._drafts.append(draft)

    def leased(self, job: Job, actor: str) -> None:
        """Record a lease: history, and the writer's view of patient data."""
        self._touch(job)
        self._note(job, "queued", "writing", actor, "leased")
        self.viewed(job, actor, "rx.leased")

    def viewed(self, job: Job, actor: str, action: str) -> None:
        """Add an audit entry: the actor read or changed patient data."""
        self._audit.append(audit_entry(self._gateway, job, actor, action))

    async def save(self, connection: AsyncConnection) -> None:
        """Write the jobs themselves, for the later statements of this transaction."""
        if self._replaced:
            await self._store.replace(connection, self._replaced)
        if self._new:
            await self._store.insert(connection, self._new)
        if self._changed:
            await self._store.save(connection, list(self._changed.values()))
            await drop_drafts(connection, self._decided())
        self._replaced, self._new, self._changed = [], [], {}

    async def write(self, connection: AsyncConnection) -> Published:
        """Write all changes; pass the result to ``announce`` after the commit."""
        await self.save(connection)
        if self._history:
            await self._store.add_history(connection, self._history)
        if self._audit:
            await self._gateway.audit.record(connection, self._audit, self.now)
        published = Published((), (), frozenset())
        if self._drafts:
            published = await self._gateway.publisher.record(connection, self._drafts, self.now)
        touched = [Change(TOPIC, *place, [*ids]) for place, ids in self._touched.items()]
        await note_changes(connection, touched, self.now)
        return published

    def _decided(self) -> list[str]:
        """Return the jobs that leave review, whose drafts are deleted."""
        changed = self._changed.values()
        return [
            was.id for was, now in changed if was.state == "excepted" and was.state != now.state
        ]

    def _touch(self, job: Job) -> None:
        self._touched.setdefault((job.account_id, job.mode, job.site), {})[job.id] = None

    def _note(self, job: Job, before: State | None, after: State, actor: str, why: str) -> None:
        self._history.append(
            HistoryRow(job.account_id, job.id, self.now_ms, actor, before, after, why)
        )


def audit_entry(
    gateway: Gateway,
    job: Job,
    actor: str,
    action: str,
    *,
    reader: Caller | None = None,
    fields: tuple[Shown, ...] | None = None,
) -> AuditEntry:
    """Return the audit entry of an actor who read or changed a job.

    ``reader`` is the caller who sees it, in full or masked; ``fields`` are the groups shown in
    full, if those aren't all that the reader may see.
    """
    keys = gateway.packages.keys_of(job.account_id, patient_id=job.patient_id)
    if reader is not None:
        if fields is None:
            fields = _ALL_GROUPS if reader.reveals else ()
        kind: Literal["reveal", "view"] = "reveal" if fields else "view"
        return AuditEntry.by(
            reader,
            kind,
            action,
            job.id,
            patient=keys._replace(package_id=job.id),
            fields=fields,
            site=job.site,
            purpose="care",
        )
    shown = action in _SHOWN
    return AuditEntry(
        job.account_id,
        actor,
        action,
        job.id,
        keys._replace(package_id=job.id),
        kind=_SHOWN.get(action, "change"),
        fields=_ALL_GROUPS if shown else (),
        site=job.site,
        purpose="care",
        via=via_of(actor),
    )


_SHOWN: Final[Mapping[str, Literal["disclose"]]] = {"rx.leased": "disclose"}
