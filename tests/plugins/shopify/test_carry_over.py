"""What an earlier version kept in tables of its own is there after the upgrade, from its schema."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from gateway_shopify.inbox import Arrival
from gateway_shopify.schema import Release
from shopify_orders import SHOP, order, paid, shopify_toml
from shopify_shop import CLIENT_ID, Shop
from sqlalchemy import make_url
from waiting import until

from gateway.plugin import PackageFilter, SystemClock, to_epoch_ms
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import load_or_create

SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"
# The first schema with a shop, and the last one with messages of its own.
VERSIONS = {"shopify_0001": "181ce56", "shopify_0002": "0425a03"}


HELD_GID = "gid://shopify/Order/77"


@pytest.fixture
async def shop():
    async with Shop() as running:
        running.tokens.add("shpat_day_of_before")
        yield running


def rows_of(sealer, now):
    """Return the rows of an earlier version: a shop with a token, and four messages."""
    now_ms = to_epoch_ms(now)

    def body(message_id, sent):
        plain = json.dumps(sent).encode()
        return sealer.seal(plain, table="shopify_messages", row_id=message_id)

    def message(number, state, sent=None, **more):
        message_id = f"shm_{number}"
        return {
            "id": message_id,
            "shop": SHOP,
            "webhook_id": f"hook-{number}",
            "topic": "orders/create",
            "order_index": None,
            "received_at_ms": now_ms - 60_000,
            "state": state,
            "due_at_ms": now_ms,
            "lease_until_ms": 0,
            "attempts": 0,
            "outcome": None,
            "body": None if sent is None else body(message_id, sent),
            **more,
        }

    token = sealer.seal(b"shpat_day_of_before", table="shopify_shops", row_id=SHOP)
    shop = {
        "shop": SHOP,
        "live_destination_id": "dst_1",
        "test_destination_id": "dst_2",
        "token": token,
        "token_expires_at_ms": to_epoch_ms(now + timedelta(hours=20)),
    }
    facts = {"order_id": HELD_GID, "name": "#1009", "sent": held_order()}
    held = {
        "id": "sho_1",
        "shop": SHOP,
        "order_index": sealer.blind_index("shopify_order", SHOP, HELD_GID),
        "mode": "live",
        "state": "held",
        "reason": "pickup_unclear",
        "updated_at_ms": now_ms - 60_000,
        "seen_at_ms": now_ms - 60_000,
        "facts": sealer.seal(json.dumps(facts).encode(), table="shopify_orders", row_id="sho_1"),
    }
    second = order(id=9, admin_graphql_api_id="gid://shopify/Order/9")
    return [
        ("shopify_shops", shop),
        ("shopify_orders", held),
        ("shopify_messages", message(1, "waiting", order())),
        # A process was killed while it had this one
        ("shopify_messages", message(2, "waiting", second, attempts=1)),
        ("shopify_messages", message(3, "done", outcome="made")),
        ("shopify_messages", message(4, "failed", {"id": 4}, outcome="unreadable", attempts=1)),
    ]


def held_order():
    attributes = [{"name": "Checkout-Method", "value": "pickup"}]
    return paid(id=77, admin_graphql_api_id=HELD_GID, note_attributes=attributes)


def toml_of(url, shop):
    return (
        f'[database]\nurl = "{url}"\n{shopify_toml()}api_url = "{shop.url}"\n'
        f'client_id = "{CLIENT_ID}"\n'
    )


def keyring_in(folder):
    (folder / "data").mkdir()
    return load_or_create(folder / "data" / "master.key")


async def is_taken_over(harness, url, shop):
    """Start the present version on the earlier one's database, and see that nothing is lost."""
    async with harness(toml_of(url, shop)) as running:
        gateway = running.gateway

        service = gateway.hooks._manager.get_plugin("shopify")._service

        async def settled():
            return await service.inbox.counts(SHOP) == {"done": 3, "failed": 1, "held": 1}

        await until(settled)
        async with gateway.database.read() as connection:
            found = await gateway.packages.page(connection, running.caller(), PackageFilter(9))
        [listed] = await service.held.list(running.caller(), ["held"])
        record = await service.orders.by_id("sho_1")
        released = await service.held.release(running.caller(), "sho_1", Release())
        configured = service.directory.configured[SHOP]
        token = await service.tokens.get(configured, 10.0)
        row = await service.directory.row(SHOP)
        is_new = await service.inbox.put(_again(3))
        repeated = await service.inbox.retry_failed(SHOP)

    assert [each.order.patient_name for each in found] == ["Maria Rodriguez"] * 2
    assert (listed["id"], listed["reason"], record.facts.sent) == ("sho_1", "pickup_unclear", None)
    assert released["state"] == "made"
    assert (token, shop.granted) == ("shpat_day_of_before", 0)
    assert (row.token, row.live_destination_id) == (None, "dst_1")
    assert is_new is False  # a repetition of what the earlier version processed
    assert repeated == 1


def _again(number):
    return Arrival(SHOP, f"hook-{number}", "orders/create", b"{}")


def insert(table, row, mark):
    names = ", ".join(row)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(mark(n) for n in range(len(row)))})"


@pytest.mark.parametrize("version", VERSIONS)
async def test_messages_and_tokens_of_an_earlier_sqlite_file_are_taken_over(
    harness, tmp_path, shop, version
):
    path = tmp_path / "gateway.db"
    rows = rows_of(Sealer(keyring_in(tmp_path)), SystemClock().now())
    with closing(sqlite3.connect(path)) as connection:
        script = (SCHEMAS / f"{VERSIONS[version]}.sqlite.sql").read_text("utf-8")
        connection.executescript(script)
        for table, row in rows:
            connection.execute(insert(table, row, lambda _: "?"), list(row.values()))
        connection.commit()

    await is_taken_over(harness, f"sqlite+aiosqlite:///{path}", shop)


@pytest.mark.slow
async def test_messages_and_tokens_of_an_earlier_postgresql_are_taken_over(
    harness, tmp_path, shop, empty_postgres_url
):
    plain = make_url(empty_postgres_url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    await connection.execute((SCHEMAS / "0425a03.postgresql.sql").read_text("utf-8"))
    for table, row in rows_of(Sealer(keyring_in(tmp_path)), SystemClock().now()):
        await connection.execute(insert(table, row, lambda n: f"${n + 1}"), *row.values())
    await connection.close()

    await is_taken_over(harness, empty_postgres_url, shop)
