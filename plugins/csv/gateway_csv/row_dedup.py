"""Which rows came in before: so that the same file again makes nothing twice.

A row without an order id is known by all it says. It is *claimed* before its order is
handed to intake, and what intake knows it by is made of the claim: after a crash between
the two the same row makes the same reference again. A claim holds for some days: next
week's delivery may say the same as this week's and is another one.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Caller, Database, Order, to_epoch_ms
from gateway_csv.tables import known_rows

_AT_ONCE: Final = 5000


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_CENT: Final = Decimal("0.01")
_PHONE_DIGITS: Final = 10


def said_by(order: Order, site: str | None) -> str:
    """Return all that an order says, in a form in which spelling makes no difference.

    ``site`` is the one that an order without one is for. A telephone number counts by its
    last ten digits: that is what its spellings have in common.
    """
    phone = re.sub(r"\D", "", order.patient_phone or "")
    email = order.patient_email or ""
    copay = order.copay_amount
    with suppress(InvalidOperation):  # a huge amount is intake's to refuse
        copay = copay if copay is None else copay.quantize(_CENT) + 0
    plain = msgspec.structs.replace(
        order,
        patient_phone=phone[-_PHONE_DIGITS:] if len(phone) >= _PHONE_DIGITS else None,
        patient_email=email if "@" in email else None,
        copay_amount=copay,
        site=order.site or site,
    )
    # Not as an object: that leaves defaults out, or doesn't, by more than what they say.
    return _ENCODER.encode(msgspec.structs.astuple(plain)).decode()


class Claim(NamedTuple):
    """Who brought a row first: which import, and when in epoch milliseconds."""

    import_id: str
    claimed_at_ms: int

    def reference(self, index: bytes) -> str:
        """Return what intake knows the row's order by."""
        return f"{index.hex()}:{self.claimed_at_ms}"


class KnownRows:
    """Claims rows for one caller. ``window`` is how long a claim holds."""

    def __init__(self, database: Database, caller: Caller, window: timedelta) -> None:
        self._database = database
        self._caller = caller
        self._window = window

    async def known(self, indexes: Sequence[bytes], now: datetime) -> dict[bytes, Claim]:
        """Return the claims that hold, for those of ``indexes`` that have one."""
        async with self._database.read() as connection:
            found = await self._found(connection, indexes)
        return {index: claim for index, claim in found.items() if not self._is_over(claim, now)}

    async def claim(
        self, indexes: Sequence[bytes], import_id: str, now: datetime, *, again: bool
    ) -> Mapping[bytes, Claim]:
        """Return a claim for each of ``indexes``, one of ``import_id`` where none holds.

        An import's own claims hold however long ago it was begun; with ``again`` no others do.
        """
        now_ms = to_epoch_ms(now)
        ordered = sorted(set(indexes))  # all processes lock rows in one order
        async with self._database.begin() as connection:
            await self._insert(connection, ordered, import_id, now_ms)
            found = await self._found(connection, ordered)
            stale = [
                (index, claim)
                for index, claim in sorted(found.items())
                if claim.import_id != import_id and (again or self._is_over(claim, now))
            ]
            if stale:
                await self._replace(connection, stale, import_id, now_ms)
                found = await self._found(connection, ordered)
        return found

    def _is_over(self, claim: Claim, now: datetime) -> bool:
        return claim.claimed_at_ms <= to_epoch_ms(now - self._window)

    async def _insert(
        self, connection: AsyncConnection, indexes: Sequence[bytes], import_id: str, now_ms: int
    ) -> None:
        dialect: Any = sqlite if self._database.dialect == "sqlite" else postgresql
        rows = [
            {
                "account_id": self._caller.account_id,
                "mode": self._caller.mode,
                "row_index": index,
                "import_id": import_id,
                "claimed_at_ms": now_ms,
            }
            for index in indexes
        ]
        if rows:
            await connection.execute(dialect.insert(known_rows).on_conflict_do_nothing(), rows)

    async def _found(
        self, connection: AsyncConnection, indexes: Sequence[bytes]
    ) -> dict[bytes, Claim]:
        found: dict[bytes, Claim] = {}
        for start in range(0, len(indexes), _AT_ONCE):
            some = indexes[start : start + _AT_ONCE]
            rows = await connection.execute(
                select(
                    known_rows.c.row_index, known_rows.c.import_id, known_rows.c.claimed_at_ms
                ).where(*self._mine(), known_rows.c.row_index.in_(some))
            )
            found.update({bytes(row[0]): Claim(row[1], row[2]) for row in rows})
        return found

    async def _replace(
        self,
        connection: AsyncConnection,
        stale: Sequence[tuple[bytes, Claim]],
        import_id: str,
        now_ms: int,
    ) -> None:
        await connection.execute(
            update(known_rows)
            .where(
                *self._mine(),
                known_rows.c.row_index == bindparam("index"),
                # Unless somebody else was quicker.
                known_rows.c.claimed_at_ms == bindparam("was"),
            )
            .values(import_id=import_id, claimed_at_ms=now_ms),
            [{"index": index, "was": claim.claimed_at_ms} for index, claim in stale],
        )

    def _mine(self) -> tuple[Any, Any]:
        return (
            known_rows.c.account_id == self._caller.account_id,
            known_rows.c.mode == self._caller.mode,
        )


async def forget_rows(database: Database, before: datetime) -> None:
    """Delete the claims made before a moment."""
    async with database.begin() as connection:
        await connection.execute(
            delete(known_rows).where(known_rows.c.claimed_at_ms <= to_epoch_ms(before))
        )
