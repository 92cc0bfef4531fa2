"""What ``[plugins.shopify]`` may say; shops come and go with gateway.toml."""

import asyncio

import msgspec
import pytest
from shopify_orders import SHOP
from sqlalchemy import text

from gateway.testing import SteppingClock

START = """
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
[plugins.shopify]
"""
GOOD = f'[[plugins.shopify.shops]]\ndomain = "{SHOP}"\nclient_secret = "s"\nsite = "main"\n'


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("reconcile_seconds = 1", "reconcile_seconds"),
        ('[[plugins.shopify.shops]]\ndomain = "x"', "client_secret"),
        (GOOD.replace(SHOP, "shop.example.com"), "domain: expected the shop's domain"),
        (GOOD.replace('"s"', '""'), "client_secret: expected the app's client secret"),
        (GOOD + GOOD, "two of them have the same domain"),
        (GOOD.replace('"main"', '"south"'), "expected one of the account's sites (main, north)"),
        (GOOD.replace('site = "main"', ""), "expected one of the account's sites (main, north)"),
        (GOOD + 'account = "other"', "there are none; add [[sites]]"),
        (GOOD + 'create_on = "orders/delete"', "create_on"),
        (GOOD + 'refund_on = ["delivery.completed"]', "refund_on"),
        (GOOD + 'colour = "red"', "colour"),
    ],
)
def test_a_faulty_setting_is_reported_with_its_key(harness, toml, words):
    [plugin] = [each for each in harness(START + toml).gateway.plugins if each.name == "shopify"]

    assert words in (plugin.problem or "")
    assert "shpss" not in (plugin.problem or "")


async def states(gateway):
    async with gateway.database.read() as connection:
        query = text("SELECT state, state_reason, site FROM destinations ORDER BY id")
        return [tuple(row) for row in await connection.execute(query)]


async def test_a_shop_has_two_destinations_that_follow_gateway_toml(harness):
    clock = SteppingClock()
    with_token = GOOD + 'access_token = "t"\n'
    expected = {
        with_token: ("active", None, "main"),
        "": ("disabled", "shop_not_configured", "main"),
        GOOD: ("disabled", "no_credentials", "main"),
        with_token.replace('"main"', '"north"'): ("active", None, "north"),
    }
    for toml, state in expected.items():
        async with harness(START + toml, clock).gateway as gateway:
            assert await states(gateway) == [state] * 2, toml


async def test_a_destination_that_a_person_switched_off_stays_off(harness):
    toml = START + GOOD + 'access_token = "t"\n'
    async with harness(toml).gateway as gateway, gateway.database.begin() as connection:
        await connection.execute(
            text("UPDATE destinations SET state = 'disabled', state_reason = 'by_operator'")
        )
    async with harness(toml).gateway as gateway:
        assert await states(gateway) == [("disabled", "by_operator", "main")] * 2


async def test_switching_a_destination_undoes_nothing_that_others_change_meanwhile(
    harness, database_url, monkeypatch
):
    toml = f'[database]\nurl = "{database_url}"\n{START}{GOOD}access_token = "t"\n'
    async with harness(toml) as running:
        gateway, caller = running.gateway, running.caller()
        destinations = gateway.destinations
        real = destinations.get
        [shopify] = [each for each in gateway.hooks.jobs() if each.name == "shopify-tidy"]
        directory = shopify.run.__self__.directory
        shop = directory.configured[SHOP]
        changes = []

        async def rename(destination_id):
            async with gateway.database.begin() as connection:
                found = await real(connection, caller, destination_id, for_update=True)
                renamed = msgspec.structs.replace(found, name="Renamed")
                await destinations.change(connection, renamed)

        async def read_slowly(connection, whose, destination_id, **how):
            found = await real(connection, whose, destination_id, **how)
            if whose.mode == "live" and not changes:
                changes.append(asyncio.create_task(rename(destination_id)))
                # Whoever reads under the lock leaves the other one waiting: that is no failure.
                await asyncio.wait(changes, timeout=0.3)
            return found

        monkeypatch.setattr(destinations, "get", read_slowly)
        await directory.uninstalled(shop, gateway.clock.now())
        await asyncio.gather(*changes)
        monkeypatch.undo()
        found = await directory.destination(shop)

    assert (found.name, found.state_reason) == ("Renamed", "app_uninstalled")
