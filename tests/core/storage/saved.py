"""Databases to save and to restore into, and what is in them. Nothing here knows pytest."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.storage.old_rows import STORES, House
from core.storage.people_rows import write_people
from core.storage.rows import KEYRING, NOW, SEALER
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    insert,
    select,
)

from gateway.model.account import ApiKey, Caller
from gateway.model.audit import AuditEntry, PatientKeys
from gateway.model.bag import Prescription
from gateway.storage.backup.format import Manifest
from gateway.storage.backup.restore import Restore
from gateway.storage.backup.write import saved_tables, write_backup
from gateway.storage.crypto.key_binding import KeyBinder
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import migrate
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.stores.audit_chain import append
from gateway.storage.stores.idempotency import StoredResponse, key_id, store_responses
from gateway.storage.stores.installation import claim_keyring

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{label}_0001"
down_revision = None
branch_labels = ("{label}",)
depends_on = None


def upgrade():
    op.create_table(
        "{label}_shelves",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"),
                  primary_key=True, autoincrement=True),
        sa.Column("flag", sa.Boolean),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("weight", sa.Float),
        sa.Column("day", sa.Date),
        sa.Column("naive", sa.DateTime),
        sa.Column("aware", sa.DateTime(timezone=True)),
        sa.Column("tree", sa.JSON),
        sa.Column("raw", sa.LargeBinary),
    )
    op.create_table(
        "{label}_boxes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("shelf", sa.BigInteger, sa.ForeignKey("{label}_shelves.sequence")),
    )
"""
SHELF: dict[str, Any] = {
    "flag": True,
    "price": Decimal("12.50"),
    "weight": 0.1,
    "day": date(2026, 2, 28),
    "naive": datetime(2026, 2, 28, 23, 59, 59, 123456),  # noqa: DTZ001 - some plugin does it
    "aware": datetime(2026, 2, 28, 23, 59, 59, 123456, UTC),
    "tree": {"a": [1, None, {"b": 2.5}]},
    "raw": bytes(range(256)),
}


class Shelves:
    """A plugin with tables of many types, one of which points at the other."""

    def __init__(self, folder: Path, label: str = "acme") -> None:
        made = MetaData()
        self.shelves = Table(
            f"{label}_shelves",
            made,
            Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
            Column("flag", Boolean),
            Column("price", Numeric(10, 2)),
            Column("weight", Float),
            Column("day", Date),
            Column("naive", DateTime),
            Column("aware", DateTime(timezone=True)),
            Column("tree", JSON),
            Column("raw", LargeBinary),
        )
        self.boxes = Table(
            f"{label}_boxes",
            made,
            Column("name", Text, primary_key=True),
            Column("shelf", BigInteger, ForeignKey(self.shelves.c.sequence)),
        )
        place = folder / label
        place.mkdir(exist_ok=True)
        (place / "0001.py").write_text(MIGRATION.format(label=label))
        self.tables = PluginTables(made, place)


async def opened(url: str, folder: Path, plugins: Sequence[PluginTables] = ()) -> Database:
    """Open a database with the schema that migrations make."""
    database = Database(url)
    await migrate(database, plugins, folder / "backups", NOW)
    return database


async def furnish(database: Database, plugin: Shelves | None = None) -> House:
    """Put something into every table."""
    house = House(database)
    await house.destination()
    await house.told(days=3)
    bag = (Prescription(rx_number="RX-8872341"), Prescription(rx_number="RX-2"))
    await house.told(days=2, state="pending", external_order_id="SO-2", prescriptions=bag)
    await house.told(days=200, external_order_id="SO-3")
    await house.swept(payload_days=90)
    key = ApiKey(
        "key_1", "acme", "PMS", "live", "sk_live_1234", "main", NOW, None, "legacy", bytes(32)
    )
    answer = StoredResponse(
        key_id(Caller("acme", "live", "key_1"), "k"), b"digest", b'{"created":1}'
    )
    async with database.begin() as connection:
        await claim_keyring(connection, KEYRING)
        await STORES.accounts.ensure(connection, "acme", NOW)
        await STORES.accounts.add_key(connection, key, KeyBinder(KEYRING).binding(key))
        await store_responses(connection, [answer], NOW)
        viewed = AuditEntry("acme", "key_1", "x.viewed", "pkg_1", PatientKeys("pkg_1"))
        await append(connection, SEALER, [viewed] * 3, NOW)
        await write_people(connection, SEALER, NOW)
        if plugin is not None:
            await connection.execute(insert(plugin.shelves), [SHELF, {**SHELF, "flag": False}])
            await connection.execute(insert(plugin.boxes).values(name="a", shelf=2))
    return house


async def contents(
    database: Database, plugins: Sequence[PluginTables] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, but for the audit trail's last: that of a restore."""
    found = {}
    async with database.read() as connection:
        for table in saved_tables(plugins):
            query = select(table).order_by(*table.primary_key)
            rows = await connection.execute(query)
            found[table.name] = [dict(row) for row in rows.mappings()]
    return found


async def save(
    database: Database, target: Path, plugins: Sequence[PluginTables] = (), **changes: Any
) -> Manifest:
    return await write_backup(
        database, plugins, **{"keyring": KEYRING, "target": target, "now": NOW, **changes}
    )


def restoring(source: Path, plugins: Sequence[PluginTables] = (), **changes: Any) -> Restore:
    return Restore(
        **{
            "source": source,
            "keyring": KEYRING,
            "plugins": plugins,
            "actor": "cli:ana",
            "now": NOW,
            **changes,
        }
    )
