"""Retention: finished packages and events are erased at one age, and deleted at another.

Erasing replaces every sealed value by a sealed empty one and removes the blind indexes; ids, status
and times stay, and so does the index that recognises the same order. These stay unchanged at any
age:

- unfinished packages, and those with an event still to be delivered;
- events with a pending delivery, pending deliveries and their attempts;
- events about a plugin's subject that the plugin reports as unfinished;
- the audit trail, whose chain must hold, and the tables of plugins;
- proofs of deliveries, and their packages, as long as the rules of the site's place require.

It runs in short transactions of a bounded number of rows, so that it doesn't delay orders and
deliveries. It can be stopped at any point: the next run continues. Any number of processes may run
it at the same time.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, false, not_, select, text, true, tuple_

from gateway.clock import Clock, from_epoch_ms, to_epoch_ms
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry, via_of
from gateway.settings import RetentionTable
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.maintenance.space import release_space
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.retention import erasure
from gateway.storage.retention.erasure import Rows, StepContext
from gateway.storage.schema import (
    FINISHED,
    LOOSE,
    attempts,
    events,
    files,
    idempotency,
    packages,
)
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.idempotency import KEEP_FOR

_ROWS_AT_ONCE: Final = 500
_PACKAGES_AT_ONCE: Final = 100  # each with its events and their attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of row. ``query`` selects the candidates, in the order of ``key``.

    ``age`` reads from the settings how long they are kept (``None``: for ever), ``time`` names the
    column with the time they finished. ``free`` selects those that may be erased and locks them;
    ``work`` erases or deletes them. ``unless`` is a condition that excludes candidates: the rules
    of places.
    """

    what: str
    age: Callable[[RetentionTable], timedelta | None]
    query: Select[Any]
    key: tuple[ColumnElement[Any], ...]
    time: str
    free: Callable[[StepContext, Rows], Awaitable[Rows]]
    work: Callable[[StepContext, Rows], Awaitable[None]]
    at_once: int = _ROWS_AT_ONCE
    unless: Callable[[StepContext], ColumnElement[bool]] | None = None

    async def after(self, context: StepContext, place: tuple[Any, ...] | None) -> Rows:
        """Return the next candidates after ``place``, without those that another process locked."""
        query = self.query.order_by(*self.key).limit(self.at_once)
        if self.unless is not None and context.proof_cutoffs_ms:
            query = query.where(not_(self.unless(context)))
        if place is not None:
            query = query.where(tuple_(*self.key) > tuple_(*place))
        if not context.rehearsal:
            query = query.with_for_update(skip_locked=True)
        return list(await context.connection.execute(query))

    def place_of(self, row: Row[Any]) -> tuple[Any, ...]:
        """Return a row's place in the order."""
        return tuple(getattr(row, str(column.key)) for column in self.key)

    def finished_ms(self, row: Row[Any]) -> int:
        """Return when a row finished (ms since 1970)."""
        return int(getattr(row, self.time))


def _payload_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.payload_days) or None


def _proof_age(ages: RetentionTable) -> timedelta | None:
    days = ages.payload_days if ages.proof_days is None else ages.proof_days
    return timedelta(days=days) or None


def _metadata_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.metadata_days) or None


def _log_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.log_days) or None


def _answer_age(_ages: RetentionTable) -> timedelta | None:
    return KEEP_FOR


def _package_step(
    what: str, age: Callable[[RetentionTable], timedelta | None], *, purged: bool, goes: bool
) -> Step:
    return Step(
        what=what,
        age=age,
        query=select(
            packages.c.id,
            packages.c.account_id,
            packages.c.status_at_ms,
            packages.c.created_at_ms,
        ).where(text(FINISHED), packages.c.purged == (true() if purged else false())),
        key=(packages.c.status_at_ms, packages.c.id),
        time="status_at_ms",
        free=erasure.erasable_packages,
        work=erasure.delete_packages if goes else erasure.erase_packages,
        at_once=_PACKAGES_AT_ONCE,
        unless=erasure.packages_with_kept_proof if goes else None,
    )


def _event_step(
    what: str, age: Callable[[RetentionTable], timedelta | None], *, purged: bool, goes: bool
) -> Step:
    return Step(
        what=what,
        age=age,
        query=select(
            events.c.sequence,
            events.c.id,
            events.c.account_id,
            events.c.subject,
            events.c.late,
            events.c.recorded_at_ms,
        ).where(text(LOOSE), events.c.purged == (true() if purged else false())),
        key=(events.c.recorded_at_ms, events.c.sequence),
        time="recorded_at_ms",
        free=erasure.deletable_events if goes else erasure.erasable_events,
        work=erasure.delete_events if goes else erasure.erase_events,
    )


# Deletion comes first, so that no row is erased just before it is deleted. Erased and other rows
# have separate indexes, so each is a step.
STEPS: Final[Sequence[Step]] = (
    _package_step("packages", _metadata_age, purged=True, goes=True),
    _package_step("packages", _metadata_age, purged=False, goes=True),
    _event_step("other events", _metadata_age, purged=True, goes=True),
    _event_step("other events", _metadata_age, purged=False, goes=True),
    _package_step("contents of packages", _payload_age, purged=False, goes=False),
    _event_step("contents of other events", _payload_age, purged=False, goes=False),
    Step(
        what="files of packages",
        age=_proof_age,
        query=select(files.c.id, files.c.account_id, files.c.subject, files.c.created_at_ms).where(
            text("substr(subject, 1, 4) = 'pkg_'")
        ),
        key=(files.c.created_at_ms, files.c.id),
        time="created_at_ms",
        free=erasure.deletable_files,
        work=erasure.delete_old_files,
        at_once=_PACKAGES_AT_ONCE,
        unless=erasure.files_kept_by_place,
    ),
    Step(
        what="attempts",
        age=_log_age,
        query=select(
            attempts.c.sequence,
            attempts.c.account_id,
            attempts.c.delivery_id,
            attempts.c.started_at_ms,
        ),
        key=(attempts.c.sequence,),
        time="started_at_ms",
        free=erasure.deletable_attempts,
        work=erasure.delete_attempts,
    ),
    Step(
        what="replayable answers",
        age=_answer_age,
        query=select(
            idempotency.c.created_at_ms, idempotency.c.account_id, idempotency.c.key_digest
        ),
        key=(idempotency.c.created_at_ms, idempotency.c.account_id, idempotency.c.key_digest),
        time="created_at_ms",
        free=erasure.all_rows,
        work=erasure.delete_responses,
    ),
)


_log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.05
"""Between two transactions."""

# Their deletion is not audited: they are about calls, not about patients.
_UNRECORDED: Final = frozenset({"attempts", "replayable answers"})


class StepResult(NamedTuple):
    """The result of a step.

    ``kept`` is the age in the settings (``None``: for ever). ``rows`` were erased or deleted,
    ``held`` are old enough but in use, the next one is old enough at ``next_at``.
    """

    what: str
    kept: timedelta | None
    rows: int = 0
    held: int = 0
    next_at: datetime | None = None


class Housekeeper:
    """Applies the settings' ages to a database.

    ``proof_ages`` is the shortest time for proofs by the place of a site (by account and code); a
    longer ``proof_days`` wins.
    """

    def __init__(  # noqa: PLR0913 - two of them have a default
        self,
        database: Database,
        sealer: Sealer,
        ages: RetentionTable,
        trail: AuditTrail,
        clock: Clock,
        *,
        tables: Sequence[PluginTables] = (),
        proof_ages: Mapping[tuple[str, str], timedelta] = MappingProxyType({}),
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._ages = ages
        self._trail = trail
        self._clock = clock
        self._unresolved = [each.unresolved for each in tables if each.unresolved is not None]
        self._proof_ages = proof_ages
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Run as a job, unless the settings turn it off."""
        if self._ages.enabled:
            await self.prune("gateway")

    async def prune(self, actor: str) -> list[StepResult]:
        """Erase and delete due rows, audit it, and release disk space."""
        swept = await self.sweep()
        done = [f"{each.rows} {each.what}" for each in swept if each.rows]
        recorded = [
            f"{each.rows} {each.what}"
            for each in swept
            if each.rows and each.what not in _UNRECORDED
        ]
        if recorded:
            text = ", ".join(recorded)
            entry = AuditEntry(DEFAULT_ACCOUNT, actor, "retention.applied", text, via=via_of(actor))
            await self._trail.note([entry])
        if done:
            _log.info("retention: %s", ", ".join(done))
        await release_space(self._database, pause_seconds=self._pause_seconds)
        return swept

    async def sweep(self, *, dry_run: bool = False) -> list[StepResult]:
        """Erase and delete due rows; with ``dry_run`` only count them."""
        now = self._clock.now()
        found: dict[str, StepResult] = {}
        for step in STEPS:
            kept = step.age(self._ages)
            swept = StepResult(step.what, kept)
            if kept is not None:
                swept = await self._walk(step, now, kept, dry_run=dry_run)
            found[step.what] = _together(found.get(step.what), swept)
        return list(found.values())

    async def _walk(
        self, step: Step, now: datetime, kept: timedelta, *, dry_run: bool
    ) -> StepResult:
        cutoff_ms = to_epoch_ms(now - kept)
        swept = StepResult(step.what, kept)
        place: tuple[Any, ...] | None = None
        writing = False  # not before a row is due: reading takes no lock
        while True:
            opened = self._database.begin() if writing else self._database.read()
            async with opened as connection:
                context = StepContext(
                    connection,
                    self._sealer,
                    cutoff_ms,
                    not writing,
                    self._unresolved,
                    now,
                    {site: to_epoch_ms(now - age) for site, age in self._proof_ages.items()},
                )
                found = await step.after(context, place)
                due = list(
                    itertools.takewhile(lambda row: step.finished_ms(row) < cutoff_ms, found)
                )
                if due and not writing and not dry_run:
                    writing = True
                    continue
                free = await step.free(context, due) if due else due
                if free and writing:
                    await step.work(context, free)
            held = swept.held + len(due) - len(free)
            swept = swept._replace(rows=swept.rows + len(free), held=held)
            if len(due) < step.at_once:
                return swept._replace(next_at=_next_at(step, found[len(due) :], kept))
            place = step.place_of(due[-1])
            await asyncio.sleep(self._pause_seconds)


def _next_at(step: Step, young: Sequence[Any], kept: timedelta) -> datetime | None:
    return from_epoch_ms(step.finished_ms(young[0])) + kept if young else None


def _together(one: StepResult | None, other: StepResult) -> StepResult:
    if one is None:
        return other
    moments = [each for each in (one.next_at, other.next_at) if each is not None]
    return other._replace(
        rows=one.rows + other.rows,
        held=one.held + other.held,
        next_at=min(moments, default=None),
    )
