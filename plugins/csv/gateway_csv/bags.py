"""Rows that are the prescriptions of one order become one bag. Pure.

Rows with the same order id belong together; if the import says so, rows without one that share
patient, address and delivery date do, too. They have to be for one patient, with different rx
numbers; other rows stay separate. A bag is complete or isn't made: where one of its rows has an
error, or two contradict each other about the order, all of them are rejected.

Rows wait until those that may belong to them have been read.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from gateway.plugin import Candidate, Order, Prescription, total_copay
from gateway_csv.columns.headers import normal
from gateway_csv.mapping import Reading, ReadRow
from gateway_csv.read.rows import Row
from gateway_csv.row_dedup import code, folded, said_by, same_patient
from gateway_csv.schema import RowProblem
from gateway_csv.settings import BagsBy

_HELD_ROWS: Final = 5000
"""Rows of one bag that are further apart than this are not found together."""
_TOTAL: Final = re.compile(r"\b(?:total|owing|owes|balance|collect|cod|percevoir)\b")
_AS_THEY_ARE: Final = (
    "patient_email",
    "delivery_date",
    "external_patient_id",
    "external_order_id",
    "site",
)
_FIX: Final = "correct the rows of this order, and import all of them again"


class _Group(NamedTuple):
    key: str | None
    reads: list[ReadRow]


def bagged(reads: Iterable[ReadRow], reading: Reading, by: BagsBy) -> Iterator[ReadRow]:
    """Yield the rows; a bag is its first row, with the others as ``members``."""
    held: deque[_Group] = deque()
    open_groups: dict[str, _Group] = {}
    is_total = _says_total(reading)
    count = 0
    for read in reads:
        key = _key(read, by)
        group = None if key is None else open_groups.get(key)
        if group is None:
            group = _Group(key, [])
            held.append(group)
            if key is not None:
                open_groups[key] = group
        group.reads.append(read)
        count += 1
        while count > _HELD_ROWS:
            first = held.popleft()
            open_groups.pop(first.key or "", None)
            count -= len(first.reads)
            yield from _made(first, is_total=is_total)
    for each in held:
        yield from _made(each, is_total=is_total)


def _made(group: _Group, *, is_total: bool) -> Iterable[ReadRow]:
    """Return the bag or the rows of a group; most have one row."""
    reads = group.reads
    return reads if len(reads) == 1 else _closed(reads, is_total=is_total)


def can_hold_bags(reading: Reading, by: BagsBy) -> bool:
    """Return whether the file has the columns by which rows belong together."""
    by_field = reading.layout.by_field
    joins = "external_order_id" if by == "order_id" else "delivery_date"
    return "rx_number" in by_field and (joins in by_field or "external_order_id" in by_field)


def _says_total(reading: Reading) -> bool:
    """Return whether the copay's header means the whole order's copay, repeated on each row."""
    columns = reading.layout.by_field.get("copay_amount", ())
    return any(_TOTAL.search(normal(column.header)) for column in columns)


def _key(read: ReadRow, by: BagsBy) -> str | None:
    order = _order(read)
    if order is None or read.skipped or read.package_id is not None or order.prescriptions:
        return None
    if order.external_order_id:
        return f"id:{order.external_order_id}\n{order.site or ''}"
    if by == "order_id" or order.delivery_date is None or not order.rx_number:
        return None
    who = (folded(order.patient_name), folded(order.patient_address))
    return "\n".join(("patient", *who, str(order.delivery_date), order.site or ""))


def _order(read: ReadRow) -> Order | None:
    return read.candidate.order or read.rest


def _closed(reads: Sequence[ReadRow], *, is_total: bool) -> Iterator[ReadRow]:
    """Yield the rows of one key: a bag and the other rows, or all unchanged."""
    first = _order(reads[0])
    if first is None:
        yield from reads
        return
    theirs = [each for each in reads if each.continues or _is_of(first, each)]
    numbers = {
        code(order.rx_number)
        for each in theirs
        if (order := _order(each)) is not None and order.rx_number
    }
    if len(numbers) < 2 or reads[0].continues:  # noqa: PLR2004 - one prescription is no bag
        yield from reads
        return
    yield _Bag(theirs, is_total=is_total).made()
    yield from (each for each in reads if not any(each is one for one in theirs))


def _is_of(first: Order, read: ReadRow) -> bool:
    order = _order(read)
    return order is not None and same_patient(first, order)


class _Bag:
    """The rows of one bag while it is built, and its problems."""

    def __init__(self, reads: Sequence[ReadRow], *, is_total: bool) -> None:
        self._reads = reads
        self._is_total = is_total
        self._problems: list[RowProblem] = []
        self._pairs = [(each.row, order) for each in reads if (order := _order(each)) is not None]

    def made(self) -> ReadRow:
        """Return the bag as its first row, with the other rows as members."""
        first = self._reads[0]
        order = self._whole()
        errors = (*(fault for each in self._reads for fault in each.errors), *self._problems)
        return ReadRow(
            first.row,
            Candidate(None if errors else order),
            errors,
            tuple(remark for each in self._reads for remark in each.warnings),
            members=tuple(each.row for each in self._reads[1:]),
        )

    def _whole(self) -> Order:
        order = self._pairs[0][1]
        prescriptions, copay = self._prescriptions()
        return msgspec.structs.replace(
            order,
            **{name: self._same(name) for name in _AS_THEY_ARE},
            patient_phone=self._phone(),
            priority=self._priority(),
            requires_signature=any(each.requires_signature for _, each in self._pairs),
            notes="\n".join(dict.fromkeys(each.notes for _, each in self._pairs if each.notes))
            or None,
            metadata=self._metadata(),
            rx_number=prescriptions[0].rx_number,
            copay_amount=copay,
            prescriptions=prescriptions,
        )

    def _prescriptions(self) -> tuple[tuple[Prescription, ...], Decimal | None]:
        found: dict[str, Prescription] = {}
        said: dict[str, str] = {}
        for row, order in self._pairs:
            number = order.rx_number
            if not number:
                if order.patient_name or order.copay_amount:
                    self._differs(row, "the row is of a bag, and names no rx number")
                continue
            key, says = code(number), said_by(order, None)
            copay = None if self._is_total else order.copay_amount
            if key not in found:
                found[key] = Prescription(rx_number=number, copay_amount=copay)
                said[key] = says
            elif said[key] != says and (order.patient_name or found[key].copay_amount != copay):
                self._differs(row, "the row names an rx number of the bag again, and differs")
        prescriptions = tuple(found.values())
        if self._is_total:
            return prescriptions, self._same("copay_amount")
        return prescriptions, total_copay(prescriptions)

    def _same(self, name: str) -> Any:
        """Return the only value of a field in the rows; empty cells don't count."""
        kept: Any = None
        for row, order in self._pairs:
            value = getattr(order, name)
            if value in {None, ""}:
                continue
            if kept is None:
                kept = value
            elif str(value).casefold() != str(kept).casefold():
                self._differs(row, f"the rows of one bag differ in {name}")
        return kept

    def _phone(self) -> str | None:
        numbers: dict[str, str] = {}
        for row, order in self._pairs:
            if order.patient_phone:
                numbers.setdefault(
                    re.sub(r"\D", "", order.patient_phone)[-10:], order.patient_phone
                )
                if len(numbers) > 1:
                    self._differs(row, "the rows of one bag differ in patient_phone")
        return next(iter(numbers.values()), None)

    def _priority(self) -> str:
        said = {each.priority for _, each in self._pairs} - {"routine"}
        if len(said) > 1:
            self._differs(self._pairs[-1][0], "the rows of one bag differ in priority")
        return said.pop() if said else "routine"

    def _metadata(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for row, order in self._pairs:
            if any(merged.get(name, text) != text for name, text in order.metadata.items()):
                self._differs(row, "the rows of one bag differ in metadata")
            merged = {**order.metadata, **merged}
        return merged

    def _differs(self, row: Row, message: str) -> None:
        text = f"{message} (its first row is {self._reads[0].row.number})"
        self._problems.append(RowProblem(row=row.number, message=text, fix=_FIX))


def problems_of_members(
    first: Row, members: Sequence[Row], problems: Sequence[RowProblem]
) -> Iterator[tuple[Row, list[RowProblem]]]:
    """Yield each row of a bag that isn't made, with its problems or the rows that have them."""
    for row in (first, *members):
        own = [each for each in problems if each.row == row.number]
        if not own:
            faulty = sorted({each.row for each in problems if each.row is not None})
            where = f"row {faulty[0]}" if len(faulty) == 1 else "other rows"
            text = f"the row is of a bag that was not made, because of {where} of it"
            own = [RowProblem(row=row.number, message=text, fix=_FIX)]
        yield row, own
