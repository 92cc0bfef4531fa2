"""The test event: it goes to one endpoint, whatever that subscribed to, and says how it went."""

import asyncio

from gateway.testing import Receiver, SteppingClock


async def test_a_test_event_is_sent_and_its_delivery_shown(api):
    async with Receiver() as receiver:
        added = await api.add(receiver.url, events=["rx.completed"])
        delivery = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")
        [webhook] = receiver.received
    assert webhook.headers["x-scriptrun-event"] == "webhook.test"
    assert webhook.json()["id"] == delivery["event_id"]
    assert webhook.json()["data"] == {"endpoint_id": added["id"], "message": "It works."}
    [attempt] = delivery.pop("attempts")
    shown = await api.delivery(delivery["id"])
    assert shown == {**delivery, "attempts": [attempt]}
    assert {name: delivery[name] for name in ("endpoint_id", "event", "subject", "state")} == {
        "endpoint_id": added["id"],
        "event": "webhook.test",
        "subject": added["id"],
        "state": "delivered",
    }
    assert {
        name: attempt[name] for name in ("attempt", "outcome", "status", "error", "response")
    } == {
        "attempt": 1,
        "outcome": "delivered",
        "status": 200,
        "error": None,
        "response": "ok",
    }


async def test_a_test_event_goes_to_no_other_endpoint(api):
    async with Receiver() as receiver:
        added = await api.add(f"{receiver.url}/tested")
        await api.add(f"{receiver.url}/by-name", events=["webhook.test", "webhook.*", "*"])
        await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")
        await api.idle()
        assert [each.path for each in receiver.received] == ["/tested"]


async def test_a_test_event_that_fails_shows_why(api):
    async with Receiver([418]) as receiver:
        added = await api.add(receiver.url)
        delivery = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")
    assert delivery["state"] == "pending"
    assert delivery["next_attempt_at"] is not None
    [attempt] = delivery["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["error"]) == ("failed", 418, None)


async def test_a_test_event_to_a_closed_port_shows_the_reason(api):
    async with Receiver() as receiver:
        url = receiver.url
    added = await api.add(url)
    delivery = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")
    [attempt] = delivery["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["error"]) == ("failed", None, "connect")


async def test_a_disabled_endpoint_is_not_tested(api):
    async with Receiver() as receiver:
        added = await api.add(receiver.url)
        await api.change(added["id"], status="disabled")
        path = f"/webhooks/endpoints/{added['id']}/test"
        assert await api.ask("POST", path, status=409) == {
            "error": "The endpoint is disabled; enable it, then test it.",
            "code": "conflict",
            "details": [],
        }
        await api.change(added["id"], status="active")
        await api.idle()
        assert receiver.received == []


async def test_a_paused_endpoint_is_tested_when_it_is_resumed(open_api, wait_until):
    clock = SteppingClock()
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url)
        await api.change(added["id"], status="paused")
        asked = asyncio.create_task(api.ask("POST", f"/webhooks/endpoints/{added['id']}/test"))

        async def answered():
            clock.step(1)  # it waits five seconds for a first attempt
            return asked.done()

        await wait_until(answered)
        delivery = await asked
        assert (delivery["state"], delivery["attempts"]) == ("pending", [])
        await api.change(added["id"], status="active")
        await receiver.wait_for(1)
        await api.delivery_in("delivered", delivery["id"])


async def test_a_test_event_stays_with_the_mode_and_the_site_of_its_endpoint(open_api):
    sites = '[[sites]]\ncode = "main"\nname = "Lakeside Pharmacy"\n'
    async with Receiver() as receiver, open_api(sites) as api:
        in_test = await api.with_key(mode="test", site="main")
        added = await in_test.add(receiver.url)
        delivery = await in_test.ask("POST", f"/webhooks/endpoints/{added['id']}/test")
        async with api.harness.gateway.database.read() as connection:
            event = await api.harness.gateway.events.get(
                connection, api.harness.caller(mode="test", site="main"), delivery["event_id"]
            )
    assert (event.mode, event.site, event.subject) == ("test", "main", added["id"])


async def test_the_catalog_has_the_test_event(api):
    types = (await api.ask("GET", "/event-types"))["event_types"]
    [entry] = [each for each in types if each["type"] == "webhook.test"]
    assert entry["sample"] == {
        "endpoint_id": "dst_0199d2c4a1b27c3e8f40a1b2c3d4e5f6",
        "message": "It works.",
    }
    assert entry["schema"]["required"] == ["endpoint_id", "message"]
