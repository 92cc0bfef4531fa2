"""Recognises rows of earlier imports, so that the same file makes no second package.

A row is identified by its order id; else by its prescription, patient and date; else by its whole
content. It is *claimed* before its order is submitted to intake, and its reference for intake is
computed from the claim: after a crash between the two the same row gets the same reference. A claim
of a row with an order id, or with a prescription and a date, never ends. Another one lasts some
days after the row was last seen: next month's refill may have the same content as this month's and
is a new one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, false, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import Caller, Database, Order, Transaction, to_epoch_ms, visible_to
from gateway_csv.tables import insert_unless_known, known_rows

_AT_ONCE: Final = 5000
_CONTENT_BYTES: Final = 16
_RENEWALS: Final = 10
"""The maximum of renewals of a claim in its window."""

_CLAIM: Final = (
    "account_id",
    "mode",
    "row_index",
    "import_id",
    "claimed_at_ms",
    "content",
    "seen_at_ms",
    "is_lasting",
)

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_CENT: Final = Decimal("0.01")
_PLACE: Final = {name: place for place, name in enumerate(Order.__struct_fields__)}
"""The places of an order's fields."""
_PHONE_DIGITS: Final = 10
_NO_DIGIT: Final = re.compile(r"\D")
_BETWEEN_CODES: Final = re.compile(r"[\s,;]+")


def said_by(order: Order, site: str | None, *, is_folded: bool = True) -> str:
    """Return an order's content in a form in which spelling makes no difference.

    ``site`` is that of orders without one. A telephone number counts by its last ten digits, which
    its spellings share.
    """
    phone = order.patient_phone or ""
    phone = phone[1:] if phone[1:].isdecimal() and phone[0] == "+" else _NO_DIGIT.sub("", phone)
    name, address = order.patient_name, order.patient_address
    if is_folded:
        name, address = folded(name), folded(address)
    email = order.patient_email or ""
    copay = order.copay_amount
    if copay is not None and (copay.is_signed() or not copay.same_quantum(_CENT)):
        with suppress(InvalidOperation):  # intake refuses a huge amount
            copay = copay.quantize(_CENT) + 0
    # As a list, because an object leaves out defaults depending on how they were set.
    said = [*msgspec.structs.astuple(order)]
    said[_PLACE["patient_name"]] = name
    said[_PLACE["patient_address"]] = address
    said[_PLACE["patient_phone"]] = phone[-_PHONE_DIGITS:] if len(phone) >= _PHONE_DIGITS else None
    said[_PLACE["patient_email"]] = email if "@" in email else None
    said[_PLACE["copay_amount"]] = copay
    said[_PLACE["site"]] = order.site or site
    if order.prescriptions:
        listed = sorted(order.prescriptions, key=lambda each: (code(each.rx_number), str(each)))
        said[_PLACE["rx_number"]], said[-1] = listed[0].rx_number, tuple(listed)
    # Without an empty bag, as before bags existed, so that earlier rows are recognised.
    return _ENCODER.encode(said if order.prescriptions else said[:-1]).decode()


def same_patient(one: Order, other: Order) -> bool:
    """Return whether two orders are for the same patient at the same address."""
    return (folded(one.patient_name), folded(one.patient_address)) == (
        folded(other.patient_name),
        folded(other.patient_address),
    )


class Identity(NamedTuple):
    """A row's identity, its other content, and whether the identity is permanent."""

    key: bytes
    content: bytes
    is_lasting: bool
    by: str
    before: bytes = b""
    """The identity of a row without an order id before csv_0002: its whole content."""


def identity_of(order: Order, site: str | None, index: Callable[[str], bytes]) -> Identity:
    """Return a row's identity; ``index`` makes a blind index of a text."""
    content = said_by(order, site)
    if order.external_order_id:
        is_lasting, by = True, "order id"
    elif order.rx_number:
        is_lasting, by = order.delivery_date is not None, "prescription, patient and date"
    else:
        return Identity(index(content), b"", is_lasting=False, by="content")
    key = key_of(order, site)
    return Identity(index(key), index(content)[:_CONTENT_BYTES], is_lasting, by)


def with_before(
    identity: Identity, order: Order, site: str | None, index: Callable[[str], bytes]
) -> Identity:
    """Add a row's identity from before csv_0002, when capitals made a difference."""
    if order.external_order_id or order.prescriptions:
        return identity
    return identity._replace(before=index(said_by(order, site, is_folded=False)))


def identities_of(
    order: Order, site: str | None, index: Callable[[str], bytes]
) -> tuple[Identity, ...]:
    """Return the identities of an order: a bag without an order id has one for each number.

    So a bag is recognised, and so is a row with one of its prescriptions alone.
    """
    first = identity_of(order, site, index)
    if order.external_order_id or not order.prescriptions:
        return (first,)
    keys = {
        identity_of(
            msgspec.structs.replace(order, rx_number=each.rx_number, prescriptions=()), site, index
        ).key
        for each in order.prescriptions
    }
    # Sorted, so that the package has the same identity for any order of its rows.
    return tuple(first._replace(key=key) for key in sorted(keys))


def key_of(order: Order, site: str | None) -> str:
    """Return a row's identity as text: order id, prescription and patient, or all of it."""
    if order.external_order_id:
        return f"id:{order.external_order_id}"
    if order.rx_number:
        said = [code(order.rx_number), folded(order.patient_name), str(order.delivery_date)]
        return _ENCODER.encode(["rx", *said, order.site or site]).decode()
    return said_by(order, site)


class Claim(NamedTuple):
    """The import that first claimed a row, the time in epoch milliseconds, and the content."""

    import_id: str
    claimed_at_ms: int
    content: bytes = b""
    seen_at_ms: int = 0
    is_lasting: bool = False
    before: bytes = b""
    """The key of a claim from before csv_0002, from which intake's reference is computed."""

    def differs(self, identity: Identity) -> bool:
        """Return whether the claimed row had other content."""
        return bool(self.content) and self.content != identity.content

    def reference(self, index: bytes) -> str:
        """Return the reference of the row's order for intake."""
        return f"{(self.before or index).hex()}:{self.claimed_at_ms}"


class KnownRows:
    """Claims rows for one caller. ``window`` is the length of a claim."""

    def __init__(self, database: Database, caller: Caller, window: timedelta) -> None:
        self._database = database
        self._caller = caller
        self._window = window

    async def known(self, identities: Sequence[Identity], now: datetime) -> Mapping[bytes, Claim]:
        """Return the valid claims of those rows that have one."""
        async with self._database.read() as connection:
            found = await self._found(connection, sorted({each.key for each in identities}))
            before = await self._before(connection, identities, now)
        holding = {key: claim for key, claim in found.items() if not self._is_over(claim, now)}
        return {**before, **holding}

    async def claim(
        self, identities: Sequence[Identity], import_id: str, now: datetime, *, again: bool
    ) -> Mapping[bytes, Claim]:
        """Return a claim for each row, a new one of ``import_id`` where none is valid.

        An import's own claims are valid at any age; with ``again`` no others are. A claim that is
        found again is renewed.
        """
        first: dict[bytes, Identity] = {}
        for each in identities:
            first.setdefault(each.key, each)

        async def claim(transaction: Transaction) -> Mapping[bytes, Claim]:
            before = {} if again else await self._before(transaction, identities, now)
            found = await self._claimed(transaction, first, before, import_id, now, again=again)
            return {**found, **before} if before else found

        return await self._database.transact(claim)

    async def _claimed(
        self,
        connection: AsyncConnection,
        first: Mapping[bytes, Identity],
        before: Mapping[bytes, Claim],
        import_id: str,
        now: datetime,
        *,
        again: bool,
    ) -> dict[bytes, Claim]:
        now_ms = to_epoch_ms(now)
        ordered = sorted(first.keys() - before.keys())  # all processes lock in one order
        new = [first[key] for key in ordered]
        due_ms = to_epoch_ms(now - self._window / _RENEWALS)
        renewed = sorted(each.before for each in before.values() if each.seen_at_ms <= due_ms)
        if await self._insert(connection, new, import_id, now_ms):
            found = {
                key: Claim(import_id, now_ms, content, now_ms, is_lasting)
                for key, content, is_lasting, *_ in new
            }
        else:
            found = await self._found(connection, ordered)
            stale = sorted(
                (key, claim)
                for key, claim in found.items()
                if claim.import_id != import_id and (again or self._is_over(claim, now))
            )
            if stale:
                await self._replace(connection, stale, first, import_id, now_ms)
                found = await self._found(connection, ordered)
            # Last seen so long ago that it is worth a write.
            renewed += sorted(key for key, claim in found.items() if claim.seen_at_ms <= due_ms)
        if renewed:
            await self._renew(connection, renewed, now_ms)
        return found

    async def has_before(self, now: datetime) -> bool:
        """Return whether claims from before csv_0002 are valid: some days after that upgrade."""
        since_ms = to_epoch_ms(now - self._window)
        query = select(known_rows.c.row_index).where(
            *self._mine(),
            known_rows.c.content.is_(None),
            func.coalesce(known_rows.c.seen_at_ms, known_rows.c.claimed_at_ms) > since_ms,
        )
        async with self._database.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def _before(
        self, connection: AsyncConnection, identities: Sequence[Identity], now: datetime
    ) -> dict[bytes, Claim]:
        """Return the valid claims from before csv_0002, by today's keys.

        Their identity is the rows' whole content, and they store no content.
        """
        keys = {
            each.before: each.key for each in identities if each.before and each.before != each.key
        }
        found = await self._found(connection, sorted(keys))
        return {
            keys[before]: claim._replace(before=before)
            for before, claim in found.items()
            if not claim.content and not claim.is_lasting and not self._is_over(claim, now)
        }

    def _is_over(self, claim: Claim, now: datetime) -> bool:
        return not claim.is_lasting and claim.seen_at_ms <= to_epoch_ms(now - self._window)

    async def _insert(
        self,
        connection: AsyncConnection,
        identities: Sequence[Identity],
        import_id: str,
        now_ms: int,
    ) -> bool:
        """Claim unclaimed rows; returns true if these were all of them."""
        account_id, mode = self._caller.account_id, self._caller.mode
        rows = [
            (account_id, mode, key, import_id, now_ms, content, now_ms, is_lasting)
            for key, content, is_lasting, *_ in identities
        ]
        return await insert_unless_known(connection, known_rows, _CLAIM, rows)

    async def _found(
        self, connection: AsyncConnection, keys: Sequence[bytes]
    ) -> dict[bytes, Claim]:
        found: dict[bytes, Claim] = {}
        columns = known_rows.c
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            rows = await connection.execute(
                select(
                    columns.row_index,
                    columns.import_id,
                    columns.claimed_at_ms,
                    columns.content,
                    columns.seen_at_ms,
                    columns.is_lasting,
                ).where(*self._mine(), columns.row_index.in_(some))
            )
            for key, import_id, claimed_at_ms, content, seen_at_ms, is_lasting in rows:
                found[bytes(key)] = Claim(
                    import_id,
                    claimed_at_ms,
                    bytes(content or b""),
                    max(seen_at_ms or 0, claimed_at_ms),
                    bool(is_lasting),
                )
        return found

    async def _replace(
        self,
        connection: AsyncConnection,
        stale: Sequence[tuple[bytes, Claim]],
        identities: Mapping[bytes, Identity],
        import_id: str,
        now_ms: int,
    ) -> None:
        await connection.execute(
            update(known_rows)
            .where(
                *self._mine(),
                known_rows.c.row_index == bindparam("key"),
                # Unless another process was faster.
                known_rows.c.claimed_at_ms == bindparam("was"),
            )
            .values(
                import_id=import_id,
                claimed_at_ms=now_ms,
                seen_at_ms=now_ms,
                content=bindparam("said"),
                is_lasting=bindparam("lasting"),
            ),
            [
                {
                    "key": key,
                    "was": claim.claimed_at_ms,
                    "said": identities[key].content,
                    "lasting": identities[key].is_lasting,
                }
                for key, claim in stale
            ],
        )

    async def _renew(self, connection: AsyncConnection, keys: Sequence[bytes], now_ms: int) -> None:
        for start in range(0, len(keys), _AT_ONCE):
            await connection.execute(
                update(known_rows)
                .where(*self._mine(), known_rows.c.row_index.in_(keys[start : start + _AT_ONCE]))
                .values(seen_at_ms=now_ms)
            )

    def _mine(self) -> tuple[Any, ...]:
        """Match the account's rows of all sites: an order id counts for the account."""
        return visible_to(msgspec.structs.replace(self._caller, sites=None), known_rows)


async def delete_claims(database: Database, before: datetime) -> None:
    """Delete the claims that no import has found since ``before``; permanent ones stay."""
    seen = func.coalesce(known_rows.c.seen_at_ms, known_rows.c.claimed_at_ms)
    async with database.begin() as connection:
        await connection.execute(
            delete(known_rows).where(
                seen <= to_epoch_ms(before),
                func.coalesce(known_rows.c.is_lasting, false()).is_(False),
            )
        )


def folded(text: str) -> str:
    """Fold capitals and repeated spaces."""
    return " ".join((text or "").casefold().split())


def code(text: str) -> str:
    """Fold the spellings of a code."""
    return _BETWEEN_CODES.sub(" ", text).strip().casefold()
