"""The inbox and the way of an order, on SQLite and on PostgreSQL alike."""

import asyncio

from gateway_shopify.inbox import LEASE_SECONDS, PLUGIN, Arrival, Inbox
from shopify_orders import SHOP, order, paid, shopify_toml, webhook
from waiting import until

from gateway.plugin import PackageFilter


def message(number, index=None):
    return Arrival(SHOP, f"hook-{number}", "orders/updated", b"{}", index)


def quiet(gateway):
    """Return an inbox whose worker never starts."""
    inbox = Inbox(gateway, None)
    inbox.worker.wake = lambda: None
    return inbox


async def test_an_order_is_kept_changed_and_called_off(harness, database_url):
    later = {"updated_at": "2026-11-20T11:00:00-05:00", "cancelled_at": "2026-11-20T11:00:00-05:00"}
    toml = f'[database]\nurl = "{database_url}"\n' + shopify_toml()
    async with harness(toml) as running:
        caller = running.caller()

        async def packages():
            async with running.gateway.database.read() as connection:
                return await running.gateway.packages.page(connection, caller, PackageFilter(9))

        for sent, status in (
            (order(), "created"),
            (paid(), "created"),
            (paid(**later), "cancelled"),
        ):
            body, headers = webhook("orders/updated", sent)
            path = "/api/shopify/webhooks"
            for expected in ("stored", "duplicate"):
                answer = await running.request("POST", path, body=body, headers=headers)
                assert answer.json() == {"status": expected}

            async def there(status=status):
                found = await packages()
                return [each for each in found if each.status == status]

            await until(there)
        [package] = await packages()
        path = f"/api/packages/{package.id}/events"
        found = (await running.get(path, await running.issue_key())).json()["events"]

    assert [each["event"] for each in found] == [
        "package.created",
        "package.updated",
        "package.cancelled",
    ]


async def test_two_processes_never_process_one_order_concurrently(harness, database_url):
    toml = f'[database]\nurl = "{database_url}"\n[plugins.shopify]'
    async with harness(toml).gateway as one, harness(toml).gateway as other:
        inboxes = [quiet(one), quiet(other)]
        for number in range(40):
            await inboxes[0].put(message(number, bytes([number % 4])))
        for _ in range(10):
            taken = await asyncio.gather(
                *(each.queue.claim(20, LEASE_SECONDS, partition=PLUGIN) for each in inboxes)
            )
            claimed = [
                (inbox, each) for inbox, some in zip(inboxes, taken, strict=True) for each in some
            ]
            indexes = [bytes.fromhex(each.row.subject) for _, each in claimed]
            assert sorted(indexes) == [bytes([n]) for n in range(4)]
            await asyncio.gather(
                *(inbox.queue.finish(each.done("made")) for inbox, each in claimed)
            )

        assert await inboxes[1].counts(SHOP) == {"done": 40}
