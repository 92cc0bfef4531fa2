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


async def test_an_open_breaker_is_shown_and_enabling_closes_it(open_desk, wait_until):
    clock = SteppingClock()
    async with Receiver([500] * 3) as receiver, open_desk(RULES, clock=clock) as desk:
        added = await desk.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(5):
            await desk.order()

        async def opened():
            shown = await desk.show(added["id"])
            return shown if shown["breaker"]["state"] == "open" else None

        shown = await wait_until(opened)
        await desk.idle()
        assert len(receiver.received) == 3
        assert shown["status"] == "active"
        assert shown["breaker"] == {
            "state": "open",
            "failures": 3,
            "opened_at": "2026-01-01T00:00:00Z",
            "next_try_at": "2026-01-01T00:00:30Z",
        }
        path = f"/webhooks/endpoints/{added['id']}/enable"
        enabled = await desk.ask("POST", path)
        assert enabled["breaker"]["state"] == "closed"
        assert enabled["missed_since"] == "2026-01-01T00:00:00Z"
        # What was never tried goes at once, what failed keeps its place in the schedule.
        await receiver.wait_for(5)
        assert (await desk.ask("POST", path))["missed_since"] is None


async def test_one_delivery_finds_out_whether_it_works_again(open_desk, wait_until):
    clock = SteppingClock()
    async with Receiver([500] * 3) as receiver, open_desk(RULES, clock=clock) as desk:
        added = await desk.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(5):
            await desk.order()
        await receiver.wait_for(3)
        await desk.idle()
        desk.later(31, added["id"])
        await receiver.wait_for(8)

        async def closed():
            shown = await desk.show(added["id"])
            return shown if shown["breaker"]["state"] == "closed" else None

        shown = await wait_until(closed)
    assert (shown["breaker"]["failures"], shown["failing_since"]) == (0, None)


async def test_too_many_requests_slow_the_whole_endpoint_down(open_desk):
    clock = SteppingClock()
    async with Receiver([429]) as receiver, open_desk(RULES, clock=clock) as desk:
        receiver.headers = {"Retry-After": "20"}
        added = await desk.add(receiver.url, max_in_flight=1, events=["package.created"])
        for _ in range(4):
            await desk.order()
        await receiver.wait_for(1)
        await desk.idle()
        shown = await desk.show(added["id"])
        assert shown["breaker"] == {
            "state": "closed",
            "failures": 1,
            "opened_at": None,
            "next_try_at": "2026-01-01T00:00:20Z",
        }
        desk.later(19, added["id"])
        await desk.idle()
        assert len(receiver.received) == 1
        desk.later(2, added["id"])
        await receiver.wait_for(5)
