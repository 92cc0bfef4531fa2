"""What retention looks for: one step for each kind of thing, oldest first.

A step finds candidates in the order of an index, has those picked that may go by now,
and makes them go. It never asks the same row twice, however many have to stay.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, false, select, text, true, tuple_

from gateway.settings import RetentionTable
from gateway.storage.retention import erasure as purging
from gateway.storage.retention.erasure import Rows, Turn
from gateway.storage.schema import FINISHED, LOOSE, attempts, events, idempotency, packages
from gateway.storage.stores.idempotency import KEPT

_ROWS_AT_ONCE: Final = 500
_PACKAGES_AT_ONCE: Final = 100  # each with its events and their tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of thing. ``query`` has its candidates, in the order of ``key``.

    ``age`` reads from the settings how long it is kept (``None``: for ever), ``time`` is
    the column that says since when it is over. ``free`` picks those that may go, locked
    so that they stay free; ``work`` makes them go.
    """

    what: str
    age: Callable[[RetentionTable], timedelta | None]
    query: Select[Any]
    key: tuple[ColumnElement[Any], ...]
    time: str
    free: Callable[[Turn, Rows], Awaitable[Rows]]
    work: Callable[[Turn, Rows], Awaitable[None]]
    at_once: int = _ROWS_AT_ONCE

    async def after(self, turn: Turn, place: tuple[Any, ...] | None) -> Rows:
        """Return the next candidates behind ``place``; what another process holds is left out."""
        query = self.query.order_by(*self.key).limit(self.at_once)
        if place is not None:
            query = query.where(tuple_(*self.key) > tuple_(*place))
        if not turn.rehearsal:
            query = query.with_for_update(skip_locked=True)
        return list(await turn.connection.execute(query))

    def place_of(self, row: Row[Any]) -> tuple[Any, ...]:
        """Return where in the order a row stands."""
        return tuple(getattr(row, str(column.key)) for column in self.key)

    def over_since_ms(self, row: Row[Any]) -> int:
        """Return since when it is over."""
        return int(getattr(row, self.time))


def _payload_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.payload_days) or None


def _metadata_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.metadata_days) or None


def _log_age(ages: RetentionTable) -> timedelta | None:
    return timedelta(days=ages.log_days) or None


def _answer_age(_ages: RetentionTable) -> timedelta | None:
    return KEPT


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
        free=purging.delivered_packages,
        work=purging.delete_packages if goes else purging.empty_packages,
        at_once=_PACKAGES_AT_ONCE,
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
        free=purging.parted_events if goes else purging.delivered_events,
        work=purging.delete_events if goes else purging.empty_events,
    )


# First what goes altogether, so that nothing is emptied just before. What is emptied and what
# is not yet stand apart in their indexes, so each is a step.
STEPS: Final[Sequence[Step]] = (
    _package_step("packages", _metadata_age, purged=True, goes=True),
    _package_step("packages", _metadata_age, purged=False, goes=True),
    _event_step("other events", _metadata_age, purged=True, goes=True),
    _event_step("other events", _metadata_age, purged=False, goes=True),
    _package_step("contents of packages", _payload_age, purged=False, goes=False),
    _event_step("contents of other events", _payload_age, purged=False, goes=False),
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
        free=purging.settled_attempts,
        work=purging.delete_attempts,
    ),
    Step(
        what="replayable answers",
        age=_answer_age,
        query=select(
            idempotency.c.created_at_ms, idempotency.c.account_id, idempotency.c.key_digest
        ),
        key=(idempotency.c.created_at_ms, idempotency.c.account_id, idempotency.c.key_digest),
        time="created_at_ms",
        free=purging.every_one,
        work=purging.delete_answers,
    ),
)
