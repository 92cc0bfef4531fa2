"""A million packages, or ten, in a minute or some: multiplied by the database itself.

The product makes the first packages and their events; they lend what a filled one says. Rows are
written set by set with the secondary indexes dropped, which are built afterwards. Times, statuses,
days, drivers, sites and flags are spread as a pharmacy's are: almost all is over, the last day is
half under way. Search columns are as selective as real ones: an Rx number and an order id of its
own for each package, a phone and a name for each patient, who has twenty packages.

A sealed value is bound to its row, so that copies of one can't be opened: the packages and events
of the newest two days, and some of every age, are sealed anew each, with the search columns that
their orders have. All others hold noise of the same length.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.audit import AuditEntry
from gateway.model.event import Event
from gateway.model.order import Order
from gateway.storage.stores.audit_chain import append
from gateway.storage.stores.packages import PackageStore

DAYS: Final = 365
"""Over how many days the packages go back."""
PACKAGES_OF_A_PATIENT: Final = 20
READABLE_PATIENTS: Final = 100
"""Patients of whom every package can be opened."""
SITES: Final = 4
"""Of which the last has no package yet."""
_FAILS: Final = 1
"""One of a hundred failed: the one with this remainder."""
_DAY_MS: Final = 86_400_000
_CHUNK: Final = 1_000_000
_AT_LEAST_READABLE: Final = 20_000
_AUDITED: Final = 500
_TABLES: Final = (
    "packages",
    "package_prescriptions",
    "events",
    "deliveries",
    "attempts",
    "audit",
)

# What the two databases say differently.
_WORDS: Final[dict[str, dict[str, str]]] = {
    "sqlite": {
        "with": "WITH RECURSIVE numbers(n) AS "
        "(VALUES(:first) UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) ",
        "numbers": "numbers",
        "id": "printf('%012x70008%015x', {ms}, numbers.n)",
        "noise": "randomblob({bytes})",
        "day": "date(({ms}) / 1000, 'unixepoch')",
        "least": "min",
    },
    "postgresql": {
        "with": "",
        "numbers": "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS numbers(n)",
        "id": "lpad(to_hex({ms}), 12, '0') || '70008' || lpad(to_hex(numbers.n), 15, '0')",
        "noise": "substr(decode(repeat(md5(numbers.n::text || '{salt}'), ({bytes} + 15) / 16), "
        "'hex'), 1, {bytes})",
        "day": "to_char(to_timestamp(({ms}) / 1000), 'YYYY-MM-DD')",
        "least": "least",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """What the product's own first packages lend: an order, and events by type."""

    order: Order
    package_id: str
    events: dict[str, Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """``count`` packages up to ``now_ms``, readable with the keys of ``packages``."""

    count: int
    now_ms: int
    packages: PackageStore
    lent: Lent

    @property
    def step_ms(self) -> int:
        """How far packages are apart."""
        return DAYS * _DAY_MS // self.count

    @property
    def begin_ms(self) -> int:
        """When the first came in."""
        return self.now_ms - self.step_ms * self.count

    @property
    def patients(self) -> int:
        """How many there are."""
        return max(1, self.count // PACKAGES_OF_A_PATIENT)

    def readable(self) -> Iterator[int]:
        """Yield the numbers of the packages that can be opened.

        Those are all of the first patients, who have some of every age; what failed; the newest.
        """
        newest = max(0, self.count - max(_AT_LEAST_READABLE, 2 * self.count // DAYS))
        for start in range(0, newest, self.patients):
            for number in range(start, min(start + self.patients, newest)):
                if number < start + READABLE_PATIENTS or number % 100 == _FAILS:
                    yield number
        yield from range(newest, self.count)

    def at_ms(self, number: int) -> int:
        """Return when a package came in."""
        return self.begin_ms + number * self.step_ms

    def id_of(self, prefix: str, number: int) -> str:
        """Return an id of a package, or of its event."""
        return f"{prefix}_{self.at_ms(number):012x}70008{number:015x}"

    def patient_of(self, number: int) -> int:
        """Return the number of a package's patient: their packages are spread over the time."""
        return number % self.patients

    def searched(self) -> list[dict[str, str]]:
        """Return what each of the first patients is found by, with a package of some age."""
        found = []
        for patient in range(min(READABLE_PATIENTS, self.patients)):
            age = patient % PACKAGES_OF_A_PATIENT
            order = self.order_of(min(patient + age * self.patients, self.count - 1))
            found.append(
                {
                    "an Rx number": order.rx_number or "",
                    "a phone": order.patient_phone or "",
                    "a patient's id": order.external_patient_id or "",
                    "an order's id": order.external_order_id or "",
                }
            )
        return found

    def order_of(self, number: int) -> Order:
        """Return the order of a package; site and urgency are as its row says."""
        patient = self.patient_of(number)
        return msgspec.structs.replace(
            self.lent.order,
            patient_name=f"Patient {patient}",
            patient_address=f"{patient} Ocean Drive, Miami, FL 33139",
            patient_phone=f"+1305{2_000_000 + patient}",
            external_patient_id=f"FP-{patient:08d}",
            rx_number=f"FRX-{number:08d}",
            external_order_id=f"FILL-{number:08d}",
        )


async def fill(url: str, filling: Filling) -> None:
    """Write everything; no other connection may be open. Says how long each step took."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _fill(await connection.execution_options(isolation_level="AUTOCOMMIT"), filling)
    finally:
        await engine.dispose()


async def _fill(connection: AsyncConnection, filling: Filling) -> None:
    dialect = connection.dialect.name
    await _hurry(connection)
    indexes = await _drop_indexes(connection)
    await _write_patients(connection, filling)
    found = await connection.execute(text("SELECT id FROM destinations ORDER BY id"))
    statements = _statements(dialect, filling, [str(row.id) for row in found])
    for table, statement in statements.items():
        began = time.monotonic()
        for first in range(0, filling.count, _CHUNK):
            bounds = {"first": first, "last": min(first + _CHUNK, filling.count) - 1}
            await connection.execute(text(statement), bounds)
        _say(f"{table} written", began)
    await connection.execute(text("DROP TABLE bench_patients"))
    began = time.monotonic()
    await _make_readable(connection, filling)
    _say("newest ones sealed", began)
    began = time.monotonic()
    for statement in indexes:
        await connection.execute(text(statement))
    _say(f"{len(indexes)} indexes built", began)
    await _settle_down(connection)


def _say(what: str, began: float) -> None:
    print(f"    {what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


async def _hurry(connection: AsyncConnection) -> None:
    """Let the database wait for no disk: what is being filled can be filled again."""
    hints = {
        "sqlite": (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "PRAGMA cache_size=-400000",
            "PRAGMA temp_store=MEMORY",
            "PRAGMA threads=2",
        ),
        "postgresql": (
            "SET synchronous_commit=off",
            "SET maintenance_work_mem='400MB'",
            "SET max_parallel_maintenance_workers=2",
        ),
    }
    for hint in hints[connection.dialect.name]:
        await connection.execute(text(hint))


async def _drop_indexes(connection: AsyncConnection) -> list[str]:
    """Drop the secondary indexes of the tables that are filled; returns what makes them again."""
    query = {
        "sqlite": "SELECT name, tbl_name, sql FROM sqlite_master "
        "WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, tablename, indexdef FROM pg_indexes "
        "WHERE indexname NOT LIKE 'pk\\_%'",
    }[connection.dialect.name]
    rows = [tuple(row) for row in await connection.exec_driver_sql(query)]
    found = [(str(row[0]), str(row[2])) for row in rows if row[1] in _TABLES]
    for name, _ in found:
        await connection.execute(text(f"DROP INDEX {name}"))
    return [statement for _, statement in found]


async def _write_patients(connection: AsyncConnection, filling: Filling) -> None:
    """Write what the packages of each patient are found by."""
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    await connection.execute(
        text(
            f"CREATE TABLE bench_patients (p BIGINT PRIMARY KEY, phone {blob}, patient {blob}, "
            f"name {blob})"
        )
    )
    rows = []
    for number in range(filling.patients):
        found = filling.packages.search_indexes(DEFAULT_ACCOUNT, filling.order_of(number))
        rows.append((number, found["phone_index"], found["patient_index"], found["name_index"]))
    await _insert_many(connection, "bench_patients", ("p", "phone", "patient", "name"), rows)


async def _insert_many(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Sequence[Any]
) -> None:
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    if connection.dialect.name == "postgresql":
        await raw.copy_records_to_table(table, records=rows, columns=columns)
        return
    places = ", ".join("?" for _ in columns)
    await raw.execute("BEGIN")
    await raw.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608 - constants
    await raw.commit()


async def _make_readable(connection: AsyncConnection, filling: Filling) -> None:
    """Seal the packages and events that pages may show, each for its own row."""
    packages = filling.packages
    made = {each: msgspec.json.encode(event.data) for each, event in filling.lent.events.items()}
    lent_id = filling.lent.package_id.encode()
    orders, happened = [], []
    for number in filling.readable():
        order = filling.order_of(number)
        package_id, event_id = filling.id_of("pkg", number), filling.id_of("evt", number)
        found = packages.search_indexes(DEFAULT_ACCOUNT, order)
        orders.append(
            (
                package_id,
                packages.sealer.seal(
                    msgspec.json.encode(order), table="packages", row_id=package_id
                ),
                packages.index("external_order_id", DEFAULT_ACCOUNT, order.external_order_id or ""),
                found["rx_index"],
            )
        )
        sealed = [
            packages.sealer.seal(
                made[each].replace(lent_id, package_id.encode()), table="events", row_id=event_id
            )
            for each in ("package.created", "delivery.completed")
        ]
        happened.append((event_id, *sealed))
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    for name, columns, rows in (
        ("bench_orders", ("id", "payload", "order_index", "rx_index"), orders),
        ("bench_events", ("id", "created", "completed"), happened),
    ):
        typed = ", ".join(f"{each} {blob}" for each in columns[1:])
        await connection.execute(text(f"CREATE TABLE {name} (id TEXT PRIMARY KEY, {typed})"))
        await _insert_many(connection, name, columns, rows)
    await connection.execute(
        text(
            "UPDATE packages SET payload = b.payload, order_index = b.order_index, "
            "rx_index = b.rx_index FROM bench_orders AS b "
            "WHERE packages.account_id = :account AND packages.id = b.id"
        ),
        {"account": DEFAULT_ACCOUNT},
    )
    # The index by id, which events are found by here, is gone with the others.
    await connection.execute(text("CREATE UNIQUE INDEX bench_by_id ON events (id)"))
    await connection.execute(
        text(
            "UPDATE events SET data = CASE WHEN type = 'package.created' THEN b.created "
            "ELSE b.completed END FROM bench_events AS b WHERE events.id = b.id"
        )
    )
    await connection.execute(text("DROP INDEX bench_by_id"))
    await connection.execute(text("DROP TABLE bench_orders"))
    await connection.execute(text("DROP TABLE bench_events"))


async def _settle_down(connection: AsyncConnection) -> None:
    """Do what the database does by itself before long, and let it be careful again."""
    began = time.monotonic()
    if connection.dialect.name == "sqlite":
        await connection.execute(text("PRAGMA journal_mode=WAL"))
    else:
        await connection.execute(text("VACUUM ANALYZE"))
        await connection.execute(text("CHECKPOINT"))
    _say("settled", began)


async def note_views(connection: AsyncConnection, packages: PackageStore, at: Any) -> None:
    """Let the newest rows of the trail be the product's own, chained, with a patient each."""
    entries = [
        AuditEntry(
            account_id=DEFAULT_ACCOUNT,
            actor=f"per_{number % 20}",
            action="package.viewed",
            subject=f"pkg_{number}",
            kind="view",
            fields=("contact", "rx"),
            via="page",
        )
        for number in range(_AUDITED)
    ]
    await append(connection, packages.sealer, entries, at)


def _statements(dialect: str, filling: Filling, destinations: Sequence[str]) -> dict[str, str]:
    """Return the statement that fills each table, by table."""
    words = _WORDS[dialect]
    n = "numbers.n"
    account = f"'{DEFAULT_ACCOUNT}'"
    made = f"({filling.begin_ms} + {n} * {filling.step_ms})"
    over = f"{words['least']}({made} + 10800000, {filling.now_ms})"
    last_day = f"{n} >= {filling.count - filling.count // DAYS}"

    def made_id(prefix: str) -> str:
        return f"'{prefix}_' || {words['id'].format(ms=made)}"

    def noise(size: int, salt: str) -> str:
        return words["noise"].format(bytes=size, salt=salt)

    status = (
        f"CASE WHEN {n} % 100 = {_FAILS} THEN 'failed' "
        f"WHEN {last_day} AND {n} % 20 BETWEEN 9 AND 13 THEN 'created' "
        f"WHEN {last_day} AND {n} % 20 BETWEEN 14 AND 16 THEN 'assigned' "
        f"WHEN {last_day} AND {n} % 20 > 16 THEN 'out_for_delivery' "
        f"WHEN {n} % 100 = 2 THEN 'returned' WHEN {n} % 100 = 3 THEN 'cancelled' "
        "ELSE 'completed' END"
    )
    is_over = f"({status}) IN ('completed', 'failed', 'returned', 'cancelled')"
    kind = (
        f"CASE WHEN ({status}) = 'completed' THEN 'delivery.completed' ELSE 'package.created' END"
    )
    turn = " ".join(f"WHEN {place} THEN '{each}'" for place, each in enumerate(destinations))
    to = f"CASE {n} % {len(destinations)} {turn} END"
    site = (
        f"CASE WHEN {n} / 10 % 10 < 6 THEN 'site-00' WHEN {n} / 10 % 10 < 9 THEN 'site-01' "
        "ELSE 'site-02' END"
    )
    given_up = f"{n} % 5000 = 1"
    rows: dict[str, dict[str, str]] = {
        "packages": {
            "id": made_id("pkg"),
            "account_id": account,
            "mode": "'live'",
            "site": site,
            "source": f"CASE WHEN {n} % 10 < 7 THEN 'json_api' WHEN {n} % 10 < 9 THEN 'csv' "
            "ELSE 'shopify' END",
            "status": status,
            "status_at_ms": f"CASE WHEN {is_over} THEN {over} ELSE {made} END",
            "created_at_ms": made,
            "delivery_day": f"CASE WHEN {n} % 5 = 0 THEN NULL "
            f"ELSE {words['day'].format(ms=made)} END",
            "driver_id": f"CASE WHEN ({status}) = 'created' THEN NULL "
            f"ELSE 'driver ' || ({n} % 40) END",
            "order_index": noise(16, "order"),
            "rx_index": noise(16, "rx"),
            "phone_index": "bench_patients.phone",
            "patient_index": "bench_patients.patient",
            "name_index": "bench_patients.name",
            "payload": noise(330, "payload"),
            "priority": f"CASE WHEN {n} % 50 = 3 THEN 'stat' WHEN {n} % 10 = 4 THEN 'urgent' "
            "ELSE 'routine' END",
            "flags": f"{n} % 2 + CASE WHEN {n} % 20 = 5 THEN 2 ELSE 0 END "
            f"+ CASE WHEN {n} % 20 = 7 THEN 4 ELSE 0 END "
            f"+ CASE WHEN {n} % 400 = 1 THEN 8 ELSE 0 END "
            f"+ CASE WHEN {n} % 200 = 10 THEN 16 ELSE 0 END",
        },
        "package_prescriptions": {
            "account_id": account,
            "package_id": made_id("pkg"),
            "rx_index": noise(16, "other"),
        },
        "events": {
            "id": made_id("evt"),
            "account_id": account,
            "mode": "'live'",
            "site": site,
            "type": kind,
            "subject": made_id("pkg"),
            "occurred_at_ms": over,
            "recorded_at_ms": over,
            "actor": "'key_bench'",
            "status_after": status,
            "late": "false",
            "data": noise(430, "event"),
        },
        "deliveries": {
            "id": made_id("dlv"),
            "account_id": account,
            "destination_id": to,
            "event_id": made_id("evt"),
            "event_type": kind,
            "subject": made_id("pkg"),
            "in_order": "false",
            "state": f"CASE WHEN {given_up} THEN 'exhausted' ELSE 'delivered' END",
            "attempts": "1",
            "retry_index": "0",
            "due_at_ms": over,
            "created_at_ms": over,
            "first_attempt_at_ms": over,
            "finished_at_ms": over,
        },
        "attempts": {
            "account_id": account,
            "destination_id": to,
            "delivery_id": made_id("dlv"),
            "event_id": made_id("evt"),
            "event_type": kind,
            "number": "1",
            "started_at_ms": over,
            "duration_ms": f"5 + {n} % 90",
            "delivered": f"NOT ({given_up})",
            "status": f"CASE WHEN {given_up} THEN 502 ELSE 200 END",
        },
        "audit": {
            "account_id": account,
            "at_ms": over,
            "actor": f"'per_' || ({n} % 20)",
            "action": f"CASE WHEN {n} % 3 = 0 THEN 'package.revealed' ELSE 'package.viewed' END",
            "subject": made_id("pkg"),
            "digest": noise(32, "digest"),
            "chain_key": "1",
            "id": made_id("aud"),
            "kind": f"CASE WHEN {n} % 3 = 0 THEN 'reveal' ELSE 'view' END",
            "fields": "'contact,rx'",
            "site": site,
            "purpose": "'care'",
            "via": "'page'",
            "session": f"'ses_' || ({n} / 500)",
            "outcome": "'done'",
        },
    }
    more = {
        "packages": f" JOIN bench_patients ON bench_patients.p = {n} % {filling.patients}",
        "package_prescriptions": f" WHERE {n} % 5 = 0",
    }
    return {
        table: f"{words['with']}INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - constants
        f"SELECT {', '.join(columns.values())} FROM {words['numbers']}{more.get(table, '')}"
        for table, columns in rows.items()
    }
