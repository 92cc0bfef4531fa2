"""A credential: stored sealed, renewed in time, by one process at a time."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from core.storage.rows import KEYRING, NOW, with_all_tables
from sqlalchemy import select, update

from gateway.clock import SteppingClock
from gateway.errors import TokenRefused
from gateway.sdk.credentials import Credential, CredentialStatus, Token
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.schema import plugin_credentials

MINUTES = 60.0


@pytest.fixture
async def gateway(database_url):
    opened = Database(database_url)
    yield SimpleNamespace(
        database=await with_all_tables(opened), sealer=Sealer(KEYRING), clock=SteppingClock(NOW)
    )
    await opened.close()


class Grants:
    """Another system: grants ``token 1``, ``token 2`` …, each for an hour, or refuses."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.asked = []
        self.refuses = None
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, stored):
        self.asked.append(None if stored is None else stored.access_token)
        self.called.set()
        await self.gate.wait()
        if self.refuses is not None:
            raise self.refuses
        return Token(
            access_token=f"token {len(self.asked)}",
            expires_at=self.gateway.clock.now() + timedelta(hours=1),
        )


@pytest.fixture
def grants(gateway):
    return Grants(gateway)


def process(gateway, grants, **options):
    """Return the credential as another process has it."""
    return Credential("acme", "api", gateway, grants, **options)


async def test_a_token_is_asked_for_once_and_used_by_all_processes(gateway, grants):
    one, other = process(gateway, grants), process(gateway, grants)

    assert await one.token() == "token 1"
    assert await one.token() == "token 1"
    assert await other.token() == "token 1"
    assert grants.asked == [None]


async def test_a_token_is_renewed_before_it_expires(gateway, grants):
    credential = process(gateway, grants)
    await credential.token()

    gateway.clock.step(49 * MINUTES)
    assert await credential.token() == "token 1"
    gateway.clock.step(1 * MINUTES)

    assert await credential.token() == "token 2"
    assert grants.asked == [None, "token 1"]


async def test_a_token_that_was_rejected_is_replaced_once(gateway, grants):
    one, other = process(gateway, grants), process(gateway, grants)
    rejected = await one.token()

    found = await asyncio.gather(
        one.token(instead_of=rejected), one.token(instead_of=rejected), other.token()
    )

    assert found[:2] == ["token 2", "token 2"]
    assert await other.token(instead_of=rejected) == "token 2"
    assert len(grants.asked) == 2


async def test_processes_that_need_a_token_at_a_time_wait_for_the_one_that_asks(gateway, grants):
    credentials = [process(gateway, grants) for _ in range(4)]
    grants.gate.clear()
    calls = [asyncio.create_task(each.token()) for each in credentials]
    await grants.called.wait()
    grants.gate.set()

    assert await asyncio.gather(*calls) == ["token 1"] * 4
    assert grants.asked == [None]


async def test_a_killed_processs_renewal_is_taken_over_when_its_lease_ends(gateway, grants):
    async with gateway.database.begin() as connection:
        await connection.execute(
            plugin_credentials.insert().values(
                plugin="acme", account_id="default", name="api", lease="of the killed one",
                lease_until_ms=int(NOW.timestamp() * 1000) + 30_000,
            )
        )  # fmt: skip
    waiting = asyncio.create_task(process(gateway, grants).token())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()

    gateway.clock.step(31)

    assert await waiting == "token 1"


async def test_a_lease_from_before_the_clock_went_back_keeps_nobody_waiting(gateway, grants):
    await process(gateway, grants).token()
    async with gateway.database.begin() as connection:
        await connection.execute(
            update(plugin_credentials).values(
                secret=None, lease_until_ms=int(NOW.timestamp() * 1000) + 3_600_000
            )
        )

    assert await process(gateway, grants).token() == "token 2"


async def test_a_refusal_is_raised_and_shown_until_a_token_is_granted(gateway, grants):
    credential = process(gateway, grants)
    grants.refuses = TokenRefused("invalid_client", 401)

    with pytest.raises(TokenRefused, match="invalid_client"):
        await credential.token()
    assert await credential.status() == CredentialStatus(
        is_connected=False, last_error="invalid_client"
    )

    grants.refuses = None
    assert await credential.token() == "token 2"
    assert await credential.status() == CredentialStatus(
        is_connected=True, obtained_at=NOW, expires_at=NOW + timedelta(hours=1)
    )


async def test_a_failed_renewal_leaves_the_stored_token_in_use_until_it_expires(gateway, grants):
    credential = process(gateway, grants)
    await credential.token()
    grants.refuses = TokenRefused("connect")

    gateway.clock.step(55 * MINUTES)
    assert await credential.token() == "token 1"
    gateway.clock.step(5 * MINUTES)

    with pytest.raises(TokenRefused):
        await credential.token()


async def test_a_token_that_was_rejected_is_not_used_though_its_renewal_fails(gateway, grants):
    credential = process(gateway, grants)
    rejected = await credential.token()
    grants.refuses = TokenRefused("connect")

    with pytest.raises(TokenRefused):
        await credential.token(instead_of=rejected)


async def test_a_renewal_that_takes_too_long_is_given_up(gateway, grants):
    credential = process(gateway, grants, renewal_seconds=0.02)
    grants.gate.clear()

    with pytest.raises(TokenRefused, match="timeout"):
        await credential.token()


async def test_a_fault_of_the_plugins_own_frees_the_renewal(gateway, grants):
    credential = process(gateway, grants)
    grants.refuses = KeyError("Maria")

    with pytest.raises(KeyError):
        await credential.token()

    assert (await credential.status()).last_error == "KeyError"
    grants.refuses = None
    assert await process(gateway, grants).token() == "token 2"


async def test_a_token_without_an_end_is_used_until_it_is_rejected(gateway, grants):
    credential = process(gateway, grants)
    await credential.store(Token(access_token="for ever", refresh_token="again", scope="orders"))

    gateway.clock.step(10 * 365 * 86_400)

    assert await credential.token() == "for ever"
    assert (await credential.status()).scope == "orders"
    assert await credential.token(instead_of="for ever") == "token 1"


async def test_a_forgotten_token_is_not_stored_again_by_a_renewal_under_way(gateway, grants):
    credential = process(gateway, grants)
    grants.gate.clear()
    call = asyncio.create_task(credential.token())
    await grants.called.wait()

    await process(gateway, grants).forget()
    grants.gate.set()
    await call

    assert await credential.status() == CredentialStatus(is_connected=False)


async def test_accounts_have_tokens_of_their_own_and_no_token_is_in_clear(gateway, grants):
    await process(gateway, grants).store(Token(access_token="secret one", refresh_token="r1"))
    await process(gateway, grants, account_id="acct_2").store(Token(access_token="secret two"))

    assert await process(gateway, grants).token() == "secret one"
    assert await process(gateway, grants, account_id="acct_2").token() == "secret two"
    assert "secret" not in repr(Token(access_token="secret", refresh_token="secret"))
    async with gateway.database.read() as connection:
        stored = (await connection.execute(select(plugin_credentials.c.secret))).scalars().all()
    assert not [each for each in stored if b"secret" in bytes(each)]
