"""Sending again what an endpoint missed, over HTTP: what is asked, what is shown, what arrives.

That it is complete, durable and paced is tested in tests/journeys/test_recovery.py.
"""

from datetime import UTC, datetime

from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)


async def finished(api, recovery_id):
    """Carry recoveries on until this one is done; returns it."""
    while True:
        await api.harness.gateway.recovery.step()
        shown = await api.ask("GET", f"/webhooks/recoveries/{recovery_id}")
        if shown["state"] == "done":
            return shown


async def test_a_recovery_is_shown_from_its_start_to_its_end(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"])
        path = f"/webhooks/endpoints/{added['id']}"
        await api.change(added["id"], status="disabled")
        before = await api.order()
        clock.step(60)
        missed = await api.order()
        clock.step(60)
        await api.change(added["id"], status="active")
        started = await api.ask("POST", f"{path}/recover", {"since": "2026-04-19T18:43:00Z"}, 202)
        assert started.pop("id").startswith("rcv_")
        assert started == {
            "endpoint_id": added["id"],
            "since": "2026-04-19T18:43:00Z",
            "until": "2026-04-19T18:44:10Z",
            "state": "running",
            "looked_at": 0,
            "queued": 0,
            "finished_at": None,
        }
        again = await api.ask("POST", f"{path}/recover", {"since": "2026-04-19T18:43:00Z"}, 202)
        done = await finished(api, again["id"])
        [webhook] = await receiver.wait_for(1)
        await api.idle()
    assert webhook.json()["data"]["package_id"] == missed != before
    assert (done["looked_at"], done["finished_at"]) == (1, "2026-04-19T18:44:10Z")
    assert len(receiver.received) == 1  # two recoveries of one time send it once


async def test_a_recovery_ends_at_until(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.change(added["id"], status="disabled")
        early = await api.order()
        clock.step(60)
        await api.order()
        await api.change(added["id"], status="active")
        path = f"/webhooks/endpoints/{added['id']}/recover"
        wanted = {"since": "2026-04-19T00:00:00Z", "until": "2026-04-19T18:43:00Z"}
        recovery = await api.ask("POST", path, wanted, 202)
        assert recovery["until"] == "2026-04-19T18:43:00Z"
        done = await finished(api, recovery["id"])
        [webhook] = await receiver.wait_for(1)
        await api.idle()
    assert (done["looked_at"], done["queued"]) == (1, 1)
    assert webhook.json()["data"]["package_id"] == early
    assert len(receiver.received) == 1


async def test_a_recovery_sends_only_subscribed_events(open_api):
    async with Receiver() as receiver, open_api() as api:
        test = await api.with_key(mode="test")
        added = await api.add(receiver.url, events=["delivery.completed"])
        await api.change(added["id"], status="disabled")
        package_id = await api.order()
        await api.report(package_id, "delivery.picked_up")
        event_id = await api.report(package_id, "delivery.completed")
        await test.report(await test.order(), "delivery.completed")
        await api.change(added["id"], status="active")
        path = f"/webhooks/endpoints/{added['id']}/recover"
        recovery = await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"}, 202)
        done = await finished(api, recovery["id"])
        [webhook] = await receiver.wait_for(1)
        await api.idle()
    assert done["queued"] == 1
    assert webhook.json()["id"] == event_id
    assert len(receiver.received) == 1


async def test_a_disabled_endpoint_is_enabled_before_it_is_recovered(api):
    added = await api.add("http://127.0.0.1:9/")
    await api.change(added["id"], status="disabled")
    path = f"/webhooks/endpoints/{added['id']}/recover"
    assert await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"}, 409) == {
        "error": "The endpoint is disabled; enable it, then recover what it missed.",
        "code": "conflict",
        "details": [],
    }


async def test_a_recovery_of_an_endpoint_that_was_removed_is_not_shown(api):
    added = await api.add("http://127.0.0.1:9/")
    path = f"/webhooks/endpoints/{added['id']}"
    recovery = await api.ask("POST", f"{path}/recover", {"since": "2020-01-01T00:00:00Z"}, 202)
    await api.ask("DELETE", path, status=204)
    shown = await api.ask("GET", f"/webhooks/recoveries/{recovery['id']}", status=404)
    assert shown == {"error": "There is no such recovery.", "code": "not_found", "details": []}


async def test_a_recovery_without_a_beginning_is_refused(api):
    added = await api.add("http://127.0.0.1:9/")
    path = f"/webhooks/endpoints/{added['id']}/recover"
    for body, answer in (
        ({}, "Object missing required field since"),
        ({"since": "2020-01-01T00:00:00"}, "Expected datetime with a timezone component"),
    ):
        refused = await api.ask("POST", path, body, 400)
        assert refused["error"] == "The request body doesn't fit."
        assert refused["details"][0]["message"] == answer
    for body in (
        {"since": "2999-01-01T00:00:00Z"},
        {"since": "2020-01-02T00:00:00Z", "until": "2020-01-02T00:00:00Z"},
    ):
        assert await api.ask("POST", path, body, 400) == {
            "error": "since must be before until, and in the past.",
            "code": "invalid_input",
            "details": [],
        }
