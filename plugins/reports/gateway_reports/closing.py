"""Close a day: store its figures, with the person and the note about differences."""

from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    AuditEntry,
    Caller,
    Conflict,
    EventDraft,
    EventType,
    Gateway,
    InvalidInput,
    NotFound,
    Problem,
    from_epoch_ms,
    new_id,
    to_epoch_ms,
)
from gateway_reports.money import DayMoney, day_money
from gateway_reports.site_day import SiteDay
from gateway_reports.tables import closed_days, row_id_of

_MAX_NOTE: Final = 2000
_DECODER: Final = msgspec.json.Decoder
_WORD: Final = {"short": "too little", "over": "too much", "not_reported": "not reported"}


class ClosedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A closed day with its figures at that time."""

    closed_at: datetime
    closed_by: str
    note: str
    money: DayMoney


class _Figures(msgspec.Struct, frozen=True):
    note: str
    money: DayMoney


DAY_CLOSED: Final = "day.closed"
CLOSED_EVENT: Final = EventType(
    type=DAY_CLOSED,
    meaning="A day of a site was closed: its money, added up.",
    headline="Day closed",
    icon="i-check",
    sample={
        "day": "2026-04-19",
        "delivered": 38,
        "due": 412.5,
        "collected": 410.0,
        "differences": 1,
    },
    schema={
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "delivered": {"type": "integer"},
            "due": {"type": "number"},
            "collected": {"type": "number"},
            "differences": {"type": "integer"},
        },
        "required": ["day", "delivered", "due", "collected", "differences"],
    },
)


class Closing:
    """Closes days, opens them again, and shows them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._decoder = _DECODER(_Figures)

    async def close(self, caller: Caller, day: SiteDay, note: str = "") -> ClosedDay:
        """Store a day's figures.

        Raises ``Conflict`` for a day that is closed, or has packages with drivers while it lasts,
        and ``InvalidInput`` without a note where money differs.
        """
        gateway, note = self._gateway, note.strip()
        if len(note) > _MAX_NOTE:
            text = f"a note has at most {_MAX_NOTE} characters"
            raise InvalidInput("The day can't be closed.", [Problem(text, field="note")])
        now = gateway.clock.now()
        money = await day_money(gateway, caller, day)
        if now < day.day.ends_at and money.still_out:
            raise Conflict(
                f"{money.still_out} packages are with drivers now; close the day when they are "
                "delivered or back, or tomorrow."
            )
        if money.differences and not note:
            text = f"{len(money.differences)} packages differ: say why"
            raise InvalidInput("The day needs a note.", [Problem(text, field="note")])
        where = self._key(caller, day)
        figures = msgspec.json.encode(_Figures(note, money))
        sealed = gateway.sealer.seal(figures, table=closed_days.name, row_id=row_id_of(*where))
        values = dict(zip(("account_id", "mode", "site", "day"), where, strict=True))
        try:
            async with gateway.database.begin() as connection:
                await connection.execute(
                    insert(closed_days).values(
                        **values,
                        closed_at_ms=to_epoch_ms(now),
                        closed_by=caller.name or caller.actor,
                        figures=sealed,
                    )
                )
                await self._note(connection, caller, "reports.day_closed", day, now)
                draft = _closed_event(caller, day, money, now)
                published = await gateway.publisher.record(connection, [draft], now)
        except IntegrityError as error:
            raise Conflict("This day is closed already; gateway reports day shows it.") from error
        gateway.publisher.announce(published)
        return ClosedDay(
            closed_at=now, closed_by=caller.name or caller.actor, note=note, money=money
        )

    async def reopen(self, caller: Caller, day: SiteDay) -> None:
        """Open a closed day again: raises ``NotFound`` for one that isn't closed."""
        gateway = self._gateway
        async with gateway.database.begin() as connection:
            gone = await connection.execute(delete(closed_days).where(self._is(caller, day)))
            if not gone.rowcount:
                raise NotFound("This day isn't closed.")
            await self._note(connection, caller, "reports.day_reopened", day, gateway.clock.now())

    async def find(self, caller: Caller, day: SiteDay) -> ClosedDay | None:
        """Return a closed day, ``None`` for one that isn't."""
        async with self._gateway.database.read() as connection:
            found = await connection.execute(select(closed_days).where(self._is(caller, day)))
            row = found.first()
        if row is None:
            return None
        where = row_id_of(row.account_id, row.mode, row.site, row.day)
        opened = self._gateway.sealer.unseal(
            bytes(row.figures), table=closed_days.name, row_id=where
        )
        figures = self._decoder.decode(opened)
        return ClosedDay(
            closed_at=from_epoch_ms(row.closed_at_ms),
            closed_by=row.closed_by,
            note=figures.note,
            money=figures.money,
        )

    @staticmethod
    def _key(caller: Caller, day: SiteDay) -> tuple[str, str, str, str]:
        return caller.account_id, caller.mode, day.site or "", day.day.date.isoformat()

    def _is(self, caller: Caller, day: SiteDay) -> ColumnElement[bool]:
        account, mode, site, text = self._key(caller, day)
        return and_(
            closed_days.c.account_id == account,
            closed_days.c.mode == mode,
            closed_days.c.site == site,
            closed_days.c.day == text,
        )

    async def _note(
        self,
        connection: AsyncConnection,
        caller: Caller,
        action: str,
        day: SiteDay,
        now: datetime,
    ) -> None:
        entry = AuditEntry.by(caller, "change", action, day.day.date.isoformat(), site=day.site)
        await self._gateway.audit.record(connection, [entry], now)


def _closed_event(caller: Caller, day: SiteDay, money: DayMoney, now: datetime) -> EventDraft:
    """Return the event of a closed day: sums alone, for the note may name a patient."""
    return EventDraft(
        id=new_id("evt", now),
        type=DAY_CLOSED,
        account_id=caller.account_id,
        mode=caller.mode,
        site=day.site,
        subject=f"day_{day.day.date.isoformat()}",
        data={
            "day": day.day.date.isoformat(),
            "delivered": money.delivered,
            "due": money.due,
            "collected": money.collected,
            "differences": len(money.differences),
        },
        occurred_at=now,
        actor=caller.actor,
    )
