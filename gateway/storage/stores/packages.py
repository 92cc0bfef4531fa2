"""Packages in the database: kept sealed, found by id, by blind index, or page by page."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Row,
    Select,
    Subquery,
    Table,
    bindparam,
    func,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.model.account import Caller, Mode
from gateway.model.audit import NO_PATIENT, AuditEntry, FieldGroup, PatientKeys, shown_to
from gateway.model.order import Order
from gateway.model.package import Package, Status
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import among, insert_rows
from gateway.storage.schema import FLAGS, packages
from gateway.storage.statements import ORDER_BY_INDEX
from gateway.storage.stores.bag_numbers import (
    NumberRow,
    ids_with,
    insert_numbers,
    number_rows,
    replace_numbers,
)
from gateway.storage.stores.clear_columns import (
    CLEAR_COLUMNS,
    clear_values,
    set_clear_values,
)
from gateway.storage.stores.package_lists import PackageFilter, keys_of, listed, scope_of
from gateway.storage.tenancy import visible_to
from gateway.storage.transaction import is_transaction

SEARCH_FIELDS: Final[Mapping[str, str]] = {
    "rx_number": "rx_index",
    "patient_phone": "phone_index",
    "external_patient_id": "patient_index",
    "external_order_id": "order_index",
}
_LOOKED_UP_BY: Final = ("rx_number", "patient_phone", "external_patient_id")
_NEW_PACKAGE: Final = (
    "id",
    "account_id",
    "mode",
    "site",
    "source",
    "status",
    "status_at_ms",
    "created_at_ms",
    "payload",
    "order_index",
    *(SEARCH_FIELDS[field] for field in _LOOKED_UP_BY),
    "name_index",
    *CLEAR_COLUMNS,
)
_ORDER_INDEX: Final = _NEW_PACKAGE.index("order_index")
# Made once: an element of a statement is a dozen objects in cycles, left to the garbage collector.
_KEY: Final = tuple_(packages.c.account_id, packages.c.id)
_NAMED: Final = select(packages).where(_KEY.in_(bindparam("ids", expanding=True))).order_by("id")
_NAMED_LOCKED: Final = _NAMED.with_for_update()

# Both databases take some 32,000 parameters in a statement; this stays well below.
_PARAMETERS: Final = 5000

OrderKey = tuple[bytes, str, Mode, str]
"""The identity of an order: blind index of its id, account, mode, source."""


class NewPackage(NamedTuple):
    """A package about to be written.

    ``order_index`` is the first part of its ``OrderKey``, if computed already.
    """

    id: str
    account_id: str
    mode: Mode
    source: str
    order: Order
    created_at_ms: int
    order_index: bytes | None = None


class PackageState(NamedTuple):
    """A package's status and order, for tracking.

    ``flags`` is ``None`` where its clear columns aren't filled yet.
    """

    id: str
    account_id: str
    mode: Mode
    site: str | None
    status: Status
    status_at_ms: int
    order: Order
    driver_id: str | None = None
    flags: int | None = None


def known_of(rows: Iterable[Any]) -> dict[OrderKey, tuple[str, str | None]]:
    """Return package id and site by order, of rows of ``ORDER_BY_INDEX``."""
    return {(bytes(row[0]), row[1], row[2], row[3]): (row[4], row[5]) for row in rows}


class PackageStore:
    """Reads and writes packages; their orders are sealed on disk."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Order)

    def index(self, field: str, account_id: str, value: str) -> bytes:
        """Return the blind index of ``value``, without case and surrounding space."""
        if field == "external_order_id":  # what an order is recognised by, for good
            return self.sealer.blind_index(field, account_id, value)
        return self.sealer.search_index(field, account_id, value.strip().casefold())

    def indexes(self, field: str, account_id: str, value: str) -> tuple[bytes, ...]:
        """Return the blind indexes of ``value`` under every index key, for the audit alone."""
        return self.sealer.search_indexes(field, account_id, value.strip().casefold())

    def search_indexes(self, account_id: str, order: Order) -> dict[str, bytes | None]:
        """Return the columns that a package is searched by."""
        found = {
            SEARCH_FIELDS[field]: self.index(field, account_id, value) if value else None
            for field in _LOOKED_UP_BY
            for value in (getattr(order, field),)
        }
        name = self.name_index(account_id, order.patient_name, order.patient_address)
        return {**found, "name_index": name}

    def order_key(self, account_id: str, mode: Mode, source: str, order_id: str) -> OrderKey:
        """Return the key that identifies a source's order ``order_id``."""
        return (self.index("external_order_id", account_id, order_id), account_id, mode, source)

    def reference_key(self, account_id: str, mode: Mode, source: str, reference: str) -> OrderKey:
        """Return the key of an order without an id, which the source knows by ``reference``."""
        index = self.sealer.blind_index("reference", account_id, reference)
        return (index, account_id, mode, source)

    async def known_orders(
        self, connection: AsyncConnection, keys: Collection[OrderKey]
    ) -> dict[OrderKey, tuple[str, str | None]]:
        """Return package id and site of the orders stored already among ``keys``."""
        indexes = sorted({key[0] for key in keys})
        if is_transaction(connection):
            return known_of(await connection.fetch_each(ORDER_BY_INDEX, "order_index", indexes))
        known: dict[OrderKey, tuple[str, str | None]] = {}
        for start in range(0, len(indexes), _PARAMETERS):
            some = indexes[start : start + _PARAMETERS]
            rows = await connection.execute(
                select(
                    packages.c.order_index,
                    packages.c.account_id,
                    packages.c.mode,
                    packages.c.source,
                    packages.c.id,
                    packages.c.site,
                ).where(packages.c.order_index.in_(some))
            )
            known |= known_of(rows)
        return known

    async def insert(self, connection: AsyncConnection, new: Sequence[NewPackage]) -> None:
        """Write ``new`` packages, each in status ``created``."""
        rows = [self._row(package) for package in new]
        # All processes lock the unique index in one order, so that none waits for the other.
        rows.sort(key=lambda row: row[_ORDER_INDEX] or b"")
        await insert_rows(connection, packages, _NEW_PACKAGE, rows)
        numbers = [
            row
            for package in new
            if package.order.prescriptions
            for row in self._numbers(package.account_id, package.id, package.order)
        ]
        if numbers:
            await insert_numbers(connection, numbers)

    def _row(self, package: NewPackage) -> tuple[Any, ...]:
        order, account_id, index = package.order, package.account_id, self.index
        at_ms = package.created_at_ms
        payload = self._encoder.encode(order)
        return (
            package.id,
            account_id,
            package.mode,
            order.site,
            package.source,
            "created",
            at_ms,
            at_ms,
            self.sealer.seal(payload, table="packages", row_id=package.id),
            package.order_index or self._order_index(package),
            *(
                index(field, account_id, value) if (value := getattr(order, field)) else None
                for field in _LOOKED_UP_BY
            ),
            self.name_index(account_id, order.patient_name, order.patient_address),
            *clear_values(order),
        )

    def _numbers(self, account_id: str, package_id: str, order: Order) -> Iterator[NumberRow]:
        return number_rows(
            account_id,
            package_id,
            order,
            lambda number: self.index("rx_number", account_id, number),
        )

    def _order_index(self, package: NewPackage) -> bytes | None:
        order_id = package.order.external_order_id
        return self.index("external_order_id", package.account_id, order_id) if order_id else None

    async def states_of(
        self, connection: AsyncConnection, ids: Iterable[tuple[str, str]], *, for_update: bool
    ) -> dict[str, PackageState]:
        """Return the state of each ``(account id, package id)``, by package id.

        ``for_update`` locks the rows until the transaction ends (PostgreSQL; on SQLite
        the transaction itself is the lock), always in the same order.
        """
        query = _NAMED_LOCKED if for_update else _NAMED
        rows = await connection.execute(query, {"ids": list(ids)})
        return {
            row.id: PackageState(
                id=row.id,
                account_id=row.account_id,
                mode=row.mode,
                site=row.site,
                status=row.status,
                status_at_ms=row.status_at_ms,
                order=self._order(row),
                driver_id=row.driver_id,
                flags=row.flags,
            )
            for row in rows
        }

    async def move(
        self, connection: AsyncConnection, moves: Sequence[tuple[str, str, Status, int]]
    ) -> None:
        """Set status and its time for each ``(account id, package id, status, epoch ms)``."""
        if moves:
            await connection.execute(
                update(packages)
                .where(
                    packages.c.account_id == bindparam("account"), packages.c.id == bindparam("key")
                )
                .values(status=bindparam("new_status"), status_at_ms=bindparam("new_at")),
                [
                    {"account": account, "key": key, "new_status": status, "new_at": at_ms}
                    for account, key, status, at_ms in moves
                ],
            )

    async def standing(
        self, connection: AsyncConnection, caller: Caller, ids: Collection[str]
    ) -> dict[str, tuple[Status, datetime]]:
        """Return status and time of creation of those packages that ``caller`` may see."""
        rows = await connection.execute(
            select(packages.c.id, packages.c.status, packages.c.created_at_ms).where(
                *visible_to(caller, packages), packages.c.id.in_(sorted(ids))
            )
        )
        return {row.id: (row.status, from_epoch_ms(row.created_at_ms)) for row in rows}

    async def release_orders(
        self, connection: AsyncConnection, caller: Caller, ids: Collection[str]
    ) -> None:
        """Let the orders of cancelled packages come in again: they are duplicates no longer.

        The packages stay; they are no longer found by ``external_order_id``. For the source that
        takes back what it brought by mistake.
        """
        await connection.execute(
            update(packages)
            .where(
                *visible_to(caller, packages),
                packages.c.id.in_(sorted(ids)),
                packages.c.status == "cancelled",
            )
            .values(order_index=None)
        )

    async def replace_order(
        self, connection: AsyncConnection, package: PackageState, order: Order
    ) -> None:
        """Replace the order that ``package`` carries, and its search indexes."""
        found_by = {
            SEARCH_FIELDS[field]: self.index(field, package.account_id, value) if value else None
            for field in _LOOKED_UP_BY
            for value in (getattr(order, field),)
        }
        sealed = self.sealer.seal(self._encoder.encode(order), table="packages", row_id=package.id)
        await connection.execute(
            update(packages)
            .where(packages.c.account_id == package.account_id, packages.c.id == package.id)
            .values(
                payload=sealed,
                name_index=self.name_index(
                    package.account_id, order.patient_name, order.patient_address
                ),
                **found_by,
            )
        )
        numbers = self._numbers(package.account_id, package.id, order)
        await replace_numbers(connection, package.account_id, package.id, numbers)
        if package.flags is not None:
            await set_clear_values(connection, package.account_id, package.id, order, package.flags)

    async def get(
        self, connection: AsyncConnection, caller: Caller, package_id: str
    ) -> Package | None:
        """Return the package, or ``None`` when there is none that ``caller`` may see."""
        found = await connection.execute(
            self._visible(caller).where(packages.c.id == package_id).limit(1)
        )
        row = found.first()
        return None if row is None else self._package(row)

    async def count(
        self,
        connection: AsyncConnection,
        caller: Caller,
        statuses: Collection[Status],
        site: str | None = None,
    ) -> int:
        """Count the packages in one of ``statuses``, of one site or of all that are visible."""
        query = select(func.count()).select_from(packages).where(*visible_to(caller, packages))
        query = query.where(packages.c.status.in_(sorted(statuses)))
        if site is not None:
            query = query.where(packages.c.site == site)
        return int((await connection.execute(query)).scalar_one())

    async def page(
        self, connection: AsyncConnection, caller: Caller, wanted: PackageFilter
    ) -> list[Package]:
        """Return up to ``wanted.limit`` packages, newest first."""
        found = await connection.execute(listed(caller, wanted))
        return [self._package(row) for row in found]

    @staticmethod
    def keys(
        caller: Caller, lists: Sequence[PackageFilter], named_in: Table | None = None
    ) -> Subquery:
        """Return a query of what is clear of the packages of some lists; see ``keys_of``."""
        return keys_of(caller, lists, named_in)

    async def of_ids(
        self, connection: AsyncConnection, caller: Caller, ids: Collection[str]
    ) -> list[Package]:
        """Return those packages of ``ids`` that ``caller`` may see, newest first."""
        query = self._visible(caller).where(among(connection, packages.c.id, ids))
        rows = await connection.execute(query.order_by(packages.c.id.desc()))
        return [self._package(row) for row in rows]

    async def find(
        self,
        connection: AsyncConnection,
        caller: Caller,
        indexes: Mapping[str, bytes],
        *,
        limit: int,
    ) -> list[Package]:
        """Return packages that have any of the blind ``indexes``, by search field; newest first."""
        ids = union_all(*(_having(field, index) for field, index in indexes.items()))
        query = self._visible(caller).where(packages.c.id.in_(ids))
        rows = await connection.execute(query.order_by(packages.c.id.desc()).limit(limit))
        return [self._package(row) for row in rows]

    async def search(
        self,
        connection: AsyncConnection,
        caller: Caller,
        field: str,
        value: str,
        *,
        limit: int,
        before_id: str | None = None,
    ) -> list[Package]:
        """Return packages whose ``field`` (a key of ``SEARCH_FIELDS``) is exactly ``value``."""
        index = self.index(field, caller.account_id, value)
        # By its index alone: beside the account and the order of the list, SQLite would rather
        # walk through all packages of the account.
        found = packages.c.id.in_(_having(field, index))
        query = self._visible(caller).where(found).order_by(packages.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(packages.c.id < before_id)
        return [self._package(row) for row in await connection.execute(query)]

    async def hits(
        self, connection: AsyncConnection, caller: Caller, values: Mapping[str, str], *, limit: int
    ) -> dict[str, list[str]]:
        """Return the newest ids that have each of ``values``, by its field; without those of none.

        Fields are keys of ``SEARCH_FIELDS``, each looked for in its own index.
        """
        found: dict[str, list[str]] = {}
        if values:
            own = scope_of(caller)
            indexes = {each: self.index(each, own.account_id, values[each]) for each in values}
            rows = await connection.execute(_hitting(own, tuple(values), limit), indexes)
            for field, package_id in rows:
                found.setdefault(field, []).append(package_id)
        return found

    def name_index(self, account_id: str, name: str, address: str) -> bytes:
        """Return the blind index of a name with its address; case and punctuation don't count."""
        return name_index(self.sealer, account_id, name, address)

    def patient_keys(self, package: Package | PackageState) -> PatientKeys:
        """Return what the audit trail finds the package's patient by.

        That is the package's id alone once the package was erased.
        """
        if not package.order.patient_name:
            return PatientKeys(package.id)
        return self.order_keys(package.account_id, package.id, package.order)

    def views(
        self,
        caller: Caller,
        shown: Sequence[Package],
        action: str,
        fields: tuple[FieldGroup, ...] | None = None,
    ) -> list[AuditEntry]:
        """Return the audit entries of packages that are shown to ``caller``.

        One for each patient, or, for a caller who sees masked ones, one for the whole answer.
        ``fields`` are the groups shown, if they are others than its permissions allow.
        """
        if fields is None:
            fields = shown_to(caller)
        if not fields and len(shown) != 1:
            return [AuditEntry.by(caller, "list", f"{action}_masked", "packages")] if shown else []
        return [
            AuditEntry.by(
                caller,
                "reveal" if fields else "view",
                action,
                package.id,
                patient=self.patient_keys(package),
                fields=fields,
                site=package.site,
            )
            for package in shown
        ]

    def searched(self, caller: Caller, field: str, value: str, *, hits: bool) -> AuditEntry:
        """Return the audit entry of a search by ``field`` (a key of ``SEARCH_FIELDS``)."""
        index = self.index(field, caller.account_id, value)
        keys = {
            "rx_number": PatientKeys(rx=(index,)),
            "patient_phone": PatientKeys(phone=index),
            "external_patient_id": PatientKeys(patient=index),
        }.get(field, NO_PATIENT)
        return AuditEntry.by(
            caller,
            "search",
            "packages.searched",
            f"{field}:{index.hex()}",
            patient=keys,
            outcome="hits" if hits else "none",
        )

    def order_keys(self, account_id: str, package_id: str, order: Order) -> PatientKeys:
        """Return what the audit trail finds the patient of an order by."""
        keys = self.keys_of(
            account_id,
            patient_id=order.external_patient_id,
            rx_numbers=[each.rx_number for each in order.prescriptions]
            or ([order.rx_number] if order.rx_number else []),
            phone=order.patient_phone,
        )
        return keys._replace(
            package_id=package_id,
            name_address=self.name_index(account_id, order.patient_name, order.patient_address),
        )

    def event_keys(self, account_id: str, subject: str, data: Mapping[str, Any]) -> PatientKeys:
        """Return what the audit trail finds the patient of an event by."""
        patient = data.get("external_patient_id") or data.get("patient_id")
        numbers = [each.get("rx_number") for each in (data, *(data.get("prescriptions") or ()))]
        keys = self.keys_of(
            account_id,
            patient_id=patient if isinstance(patient, str) else None,
            rx_numbers=[each for each in numbers if isinstance(each, str) and each],
        )
        return keys._replace(package_id=subject)

    def keys_of(
        self,
        account_id: str,
        *,
        patient_id: str | None = None,
        rx_numbers: Iterable[str] = (),
        phone: str | None = None,
    ) -> PatientKeys:
        """Return what the audit trail finds a patient by, from the values that are known."""
        return PatientKeys(
            patient=self.index("external_patient_id", account_id, patient_id)
            if patient_id
            else None,
            rx=tuple(sorted({self.index("rx_number", account_id, each) for each in rx_numbers})),
            phone=self.index("patient_phone", account_id, phone) if phone else None,
        )

    @staticmethod
    def _visible(caller: Caller) -> Any:
        return select(packages).where(*visible_to(caller, packages))

    def _order(self, row: Row[Any]) -> Order:
        return self._decoder.decode(
            self.sealer.unseal(bytes(row.payload), table="packages", row_id=row.id)
        )

    def _package(self, row: Row[Any]) -> Package:
        return Package(
            id=row.id,
            account_id=row.account_id,
            mode=row.mode,
            site=row.site,
            source=row.source,
            status=row.status,
            status_at=from_epoch_ms(row.status_at_ms),
            created_at=from_epoch_ms(row.created_at_ms),
            order=self._order(row),
            driver_id=row.driver_id,
            needs_person=bool((row.flags or 0) & FLAGS["needs_person"]),
            purged=bool(row.purged),
        )


@lru_cache(maxsize=64)
def _hitting(caller: Caller, fields: Sequence[str], limit: int) -> CompoundSelect[Any]:
    """Return the statement of a search; it is kept, as putting it together takes longer."""
    parts = (
        select(literal(field).label("field"), packages.c.id)
        .where(
            *visible_to(caller, packages),
            packages.c.id.in_(_having(field, bindparam(field))),
        )
        .order_by(packages.c.id.desc())
        .limit(limit)
        .subquery()
        for field in fields
    )
    return union_all(*map(select, parts))


def _having(field: str, index: bytes | BindParameter[bytes]) -> Select[tuple[str]]:
    """Select the ids of packages whose search ``field`` has the blind ``index``."""
    if field == "rx_number":
        return ids_with(index)
    return select(packages.c.id).where(packages.c[SEARCH_FIELDS[field]] == index)


def name_index(sealer: Sealer, account_id: str, name: str, address: str) -> bytes:
    """Return the blind index of a name with its address; case and punctuation don't count."""
    return name_indexes(sealer, account_id, name, address)[0]


def name_indexes(sealer: Sealer, account_id: str, name: str, address: str) -> tuple[bytes, ...]:
    """Return the indexes of a name with its address under every index key, the newest first."""
    folded = f"{_words(name)}|{_words(address)}"
    return sealer.search_indexes("name_address", account_id, folded)


_NOT_A_WORD: Final = re.compile(r"[\W_]+")
_ASCII_MARKS: Final = {code: " " for code in range(128) if not chr(code).isalnum()}


def _words(text: str) -> str:
    """Fold a name or an address: letters and digits alone, one space between words."""
    if text.isascii():  # nearly all are; normalising costs more than the hash
        return " ".join(text.translate(_ASCII_MARKS).lower().split())
    return _NOT_A_WORD.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()
