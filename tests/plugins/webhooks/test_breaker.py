"""Endpoints that keep failing or are busy: left alone as a whole, and it can be seen."""

from gateway.clock import SteppingClock
from gateway.testing import Receiver

RULES = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
breaker_failures = 3
breaker_pauses_seconds = [30]
"""


async def test_an_open_breaker_is_shown_and_enabling_closes_it(open_api, wait_until):
    clock = SteppingClock()
    async with Receiver([500] * 3) as receiver, open_api(RULES, clock=clock) as api:
        added = await api.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(5):
            await api.order()

        async def opened():
            shown = await api.show(added["id"])
            return shown if shown["breaker"]["state"] == "open" else None

        shown = await wait_until(opened)
        await api.idle()
        assert len(receiver.received) == 3
        assert shown["status"] == "active"
        assert shown["breaker"] == {
            "state": "open",
            "failures": 3,
            "opened_at": "2026-01-01T00:00:00Z",
            "next_try_at": "2026-01-01T00:00:30Z",
        }
        path = f"/webhooks/endpoints/{added['id']}/enable"
        enabled = await api.ask("POST", path)
        assert enabled["breaker"]["state"] == "closed"
        assert enabled["missed_since"] == "2026-01-01T00:00:00Z"
        # A delivery without attempts goes at once, a failed one keeps its place in the schedule.
        await receiver.wait_for(5)
        assert (await api.ask("POST", path))["missed_since"] is None


async def test_one_delivery_probes_an_open_breaker(open_api, wait_until):
    clock = SteppingClock()
    async with Receiver([500] * 3) as receiver, open_api(RULES, clock=clock) as api:
        added = await api.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(5):
            await api.order()
        await receiver.wait_for(3)
        await api.idle()
        api.later(31, added["id"])
        await receiver.wait_for(8)

        async def closed():
            shown = await api.show(added["id"])
            return shown if shown["breaker"]["state"] == "closed" else None

        shown = await wait_until(closed)
    assert (shown["breaker"]["failures"], shown["failing_since"]) == (0, None)


async def test_too_many_requests_slow_the_whole_endpoint_down(open_api):
    clock = SteppingClock()
    async with Receiver([429]) as receiver, open_api(RULES, clock=clock) as api:
        receiver.headers = {"Retry-After": "20"}
        added = await api.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(4):
            await api.order()
        await receiver.wait_for(1)
        await api.idle()
        shown = await api.show(added["id"])
        assert shown["breaker"] == {
            "state": "closed",
            "failures": 1,
            "opened_at": None,
            "next_try_at": "2026-01-01T00:00:20Z",
        }
        api.later(19, added["id"])
        await api.idle()
        assert len(receiver.received) == 1
        api.later(2, added["id"])
        await receiver.wait_for(5)
