"""A row of api_keys opens what the gateway wrote, and nothing else."""

import hashlib

import msgspec
import pytest
from core.gateways import opened, sqlite_url
from sqlalchemy import insert, select, update

from gateway.clock import SteppingClock, from_epoch_ms
from gateway.errors import Conflict, NotAuthenticated, NotFound
from gateway.model.account import ApiKey
from gateway.storage.crypto.key_binding import UNBOUND, KeyBinder
from gateway.storage.crypto.keyring import Keyring, load, save
from gateway.storage.schema import api_keys, facts

KEY = ApiKey(
    id="key_1",
    account_id="acme",
    name="till",
    mode="live",
    prefix="sk_live_abcd",
    site=None,
    created_at=from_epoch_ms(0),
    revoked_at=None,
    scopes="orders.create",
    digest=b"d" * 32,
)


@pytest.fixture
async def gateway(tmp_path, database_url):
    async with opened(database_url, tmp_path, clock=SteppingClock()) as running:
        yield running


async def issued(gateway, **changes):
    wanted = {"account_id": "default", "actor": "cli:0", "site": None, "scopes": ["orders"]}
    return await gateway.keys.issue("till", **(wanted | changes))


async def run_sql(gateway, statement):
    async with gateway.database.begin() as connection:
        await connection.execute(statement)


async def refused(gateway, key):
    with pytest.raises(NotAuthenticated) as error:
        await gateway.keys.authenticate(key)
    return error.value.message


async def test_a_row_that_is_written_by_sql_opens_nothing(gateway, caplog):
    secret = "sk_live_" + "a" * 48
    row = {
        "id": "key_forged",
        "account_id": "default",
        "name": "till",
        "mode": "live",
        "prefix": secret[:12],
        "digest": hashlib.sha256(secret.encode()).digest(),
        "created_at_ms": 0,
        "scopes": "orders.create reveal.contact",
    }
    await run_sql(gateway, insert(api_keys).values(row))
    assert "is not valid" in await refused(gateway, secret)

    real = await issued(gateway)
    async with gateway.database.read() as connection:
        theirs = (
            await connection.execute(select(api_keys.c.binding).where(api_keys.c.id == real.id))
        ).scalar()
    await run_sql(
        gateway, update(api_keys).where(api_keys.c.id == "key_forged").values(binding=theirs)
    )
    assert "is not valid" in await refused(gateway, secret)
    assert [each.getMessage() for each in caplog.records if "key_forged" in each.getMessage()]


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": "orders.create packages.read packages.update reveal.contact"},
        {"scopes": "legacy"},
        {"site": None},
        {"site": "north"},
        {"mode": "test"},
        {"account_id": "other"},
        {"expires_at_ms": None},
        {"expires_at_ms": 9_999_999_999_999},
        {"name": "Dr. Lee"},
        {"digest": hashlib.sha256(b"sk_live_another").digest()},
        {"binding": None},
        {"binding": b""},
        {"binding": b"x" * 32},
    ],
)
async def test_a_row_that_is_changed_by_sql_opens_nothing(gateway, change):
    ends = from_epoch_ms(1_900_000_000_000)
    made = await issued(gateway, site="main", expires_at=ends)
    assert (await gateway.keys.authenticate(made.key)).actor == made.id

    await run_sql(gateway, update(api_keys).where(api_keys.c.id == made.id).values(change))

    key = "sk_live_another" if "digest" in change else made.key
    assert "is not valid" in await refused(gateway, key)


async def test_a_revocation_that_is_removed_by_sql_opens_nothing(gateway):
    made = await issued(gateway)
    await gateway.keys.revoke(made.id, actor="cli:0")
    assert "was revoked" in await refused(gateway, made.key)

    await run_sql(gateway, update(api_keys).values(revoked_at_ms=None))

    assert "is not valid" in await refused(gateway, made.key)
    [key] = await gateway.keys.list()
    assert gateway.keys.state(key) == "changed"


async def test_a_row_that_moves_to_another_id_opens_nothing(gateway):
    made = await issued(gateway)

    await run_sql(gateway, update(api_keys).values(id="key_other"))

    assert "is not valid" in await refused(gateway, made.key)


async def test_a_changed_row_is_not_narrowed_or_confirmed_but_can_be_revoked(gateway):
    made = await issued(gateway)
    await run_sql(gateway, update(api_keys).values(scopes="orders.create reveal.contact"))

    with pytest.raises(Conflict, match="The key is changed"):
        await gateway.keys.narrow(made.id, actor="cli:0", scopes=["orders.create"])
    with pytest.raises(Conflict, match="revoke it if it changed"):
        await gateway.keys.confirm([made.id], actor="cli:0")
    await gateway.keys.revoke(made.id, actor="cli:0")
    assert "was revoked" in await refused(gateway, made.key)


async def test_what_the_gateway_notes_of_a_key_itself_does_not_break_its_binding(gateway):
    made = await issued(gateway)
    for _ in range(2):
        await gateway.keys.authenticate(made.key)
        await gateway.keys.drained()

    [key] = await gateway.keys.list()
    assert key.last_used_at is not None
    assert gateway.keys.state(key) == "active"


def unbound(path):
    """Put the keys of a stopped gateway back to before they had bindings, as the migration does."""
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE api_keys SET scopes = 'legacy', binding = NULL")
        connection.execute("INSERT INTO facts VALUES (?, '1')", [UNBOUND])


async def test_keys_from_before_are_bound_at_the_first_start_and_listed(tmp_path, caplog):
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path) as gateway:
        made = await issued(gateway)
        marker = gateway.settings.gateway.data_dir / "keys.bound"
        assert marker.is_file()
        path = gateway.database.path
    unbound(path)
    marker.unlink()  # the first start of this version

    async with opened(url, tmp_path) as gateway:
        caller = await gateway.keys.authenticate(made.key)
        assert caller.may("webhooks.manage")
        assert not caller.may("keys.manage")
        async with gateway.database.read() as connection:
            assert (
                await connection.execute(select(facts).where(facts.c.name == UNBOUND))
            ).all() == []
    [line] = [each.getMessage() for each in caplog.records if "from before" in each.getMessage()]
    assert made.id in line


async def test_whoever_writes_the_database_can_not_have_it_done_again(tmp_path, caplog):
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path) as gateway:
        made = await issued(gateway)
        path = gateway.database.path
    unbound(path)

    async with opened(url, tmp_path) as gateway:
        assert "is not valid" in await refused(gateway, made.key)
        [key] = await gateway.keys.list()
        assert gateway.keys.state(key) == "unconfirmed"
        assert [each for each in caplog.records if "gateway keys confirm" in each.getMessage()]

        with pytest.raises(NotFound):
            await gateway.keys.confirm(["key_nowhere"], actor="cli:0")
        assert [each.id for each in await gateway.keys.confirm(None, actor="cli:0")] == [made.id]
        assert (await gateway.keys.authenticate(made.key)).may("orders.create")


async def test_bindings_hold_when_the_master_key_is_rotated(tmp_path):
    url = sqlite_url(tmp_path)
    async with opened(url, tmp_path) as gateway:
        made = await issued(gateway)
        path = gateway.master_key_path
    save(path, load(path).rotated())

    async with opened(url, tmp_path) as gateway:
        assert (await gateway.keys.authenticate(made.key)).actor == made.id


def test_a_binding_is_of_one_installation_and_of_each_field_apart():
    binder, another = KeyBinder(Keyring.generate()), KeyBinder(Keyring.generate())
    assert binder.binding(KEY) != another.binding(KEY)

    shifted = msgspec.structs.replace(KEY, name="till1", scopes="orders.create")
    together = msgspec.structs.replace(KEY, name="1till", scopes="orders.create")
    bindings = {binder.binding(each) for each in (KEY, shifted, together)}
    assert len(bindings) == 3
    assert binder.is_bound(msgspec.structs.replace(KEY, binding=binder.binding(KEY)))
    assert not binder.is_bound(KEY)
    no_site, empty = KEY, msgspec.structs.replace(KEY, site="")
    assert binder.binding(no_site) != binder.binding(empty)
