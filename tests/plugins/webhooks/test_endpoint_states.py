"""Paused, disabled, gone, failing: what becomes of an endpoint and of what it is sent."""

import pytest
from hostile import serving, silent

from gateway.testing import Receiver

RETRY_AT_ONCE = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
retry_schedule_seconds = [0.05]
"""


def switched_on_by(way):
    async def switch(api, endpoint_id):
        if way == "PATCH":
            return await api.change(endpoint_id, status="active")
        return await api.ask("POST", f"/webhooks/endpoints/{endpoint_id}/enable")

    return switch


@pytest.mark.parametrize("way", ["PATCH", "enable"])
async def test_a_paused_endpoint_keeps_its_deliveries_and_gets_them_when_resumed(open_api, way):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(f"{receiver.url}/paused", events=["package.created"])
        await api.add(f"{receiver.url}/other", events=["package.created"])
        await api.change(added["id"], status="paused")
        packages = [await api.order(), await api.order()]
        await receiver.wait_for(2)
        await api.idle()
        assert [each.path for each in receiver.received] == ["/other", "/other"]

        shown = await switched_on_by(way)(api, added["id"])
        assert (shown["status"], shown["status_reason"]) == ("active", None)
        arrived = (await receiver.wait_for(4))[2:]
    assert [each.path for each in arrived] == ["/paused", "/paused"]
    assert {each.json()["data"]["package_id"] for each in arrived} == set(packages)


async def test_a_resumed_endpoint_is_called_at_once_without_waiting_for_the_sweep(open_api):
    async with open_api() as api, serving(silent()) as server:
        added = await api.add(f"http://127.0.0.1:{server.port}/", events=["package.created"])
        await api.change(added["id"], status="paused")
        await api.order()
        await api.idle()
        await api.change(added["id"], status="active")
        assert len(api.harness.gateway.engine.lanes) == 1


async def test_a_disabled_endpoint_gets_nothing_that_happens_meanwhile(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url, events=["package.created"])
        shown = await api.change(added["id"], status="disabled")
        assert (shown["status"], shown["status_reason"]) == ("disabled", "by_operator")
        await api.order()
        await switched_on_by("enable")(api, added["id"])
        package_id = await api.order()
        await receiver.wait_for(1)
        await api.idle()
    [webhook] = receiver.received
    assert webhook.json()["data"]["package_id"] == package_id


async def test_deliveries_of_a_disabled_endpoint_are_sent_when_it_is_enabled(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.change(added["id"], status="paused")
        package_id = await api.order()
        await api.change(added["id"], status="disabled")
        assert receiver.received == []
        await switched_on_by("enable")(api, added["id"])
        [webhook] = await receiver.wait_for(1)
    assert webhook.json()["data"]["package_id"] == package_id


async def test_switching_to_the_state_it_is_in_changes_nothing(api):
    added = await api.add("http://127.0.0.1:9/")
    disabled = await api.change(added["id"], status="disabled")
    assert await api.change(added["id"], status="disabled") == disabled
    paused = await api.change(added["id"], status="paused")
    assert (paused["status"], paused["status_reason"]) == ("paused", None)


async def test_an_unknown_state_is_refused(api):
    added = await api.add("http://127.0.0.1:9/")
    path = f"/webhooks/endpoints/{added['id']}"
    refused = await api.ask("PATCH", path, {"status": "sleeping"}, 400)
    assert refused == {
        "error": "The request body doesn't fit.",
        "code": "invalid_input",
        "details": [{"message": "Invalid enum value …", "field": "status"}],
    }


async def test_an_endpoint_shows_since_when_it_fails_and_when_it_last_went_well(
    open_api, wait_until
):
    async with Receiver([500]) as receiver, open_api(RETRY_AT_ONCE) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()

        async def recovered():
            shown = await api.show(added["id"])
            return shown if shown["last_success_at"] else None

        shown = await wait_until(recovered)
        [success, failure] = await api.logged(2)
        assert (success["outcome"], failure["outcome"]) == ("delivered", "failed")
        assert shown["last_success_at"] >= success["started_at"]
        assert shown["failing_since"] is None


async def test_enabling_an_endpoint_that_failed_gives_it_a_clean_sheet(open_api, wait_until):
    async with Receiver([500] * 5) as receiver, open_api() as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()

        async def failing():
            shown = await api.show(added["id"])
            return shown if shown["failing_since"] else None

        failed = await wait_until(failing)
        paused = await api.change(added["id"], status="paused")
        assert paused["failing_since"] == failed["failing_since"]
        enabled = await api.change(added["id"], status="active")
        assert enabled["failing_since"] is None


async def test_an_endpoint_that_answers_410_is_disabled_at_once_and_the_others_are_notified(
    open_api, wait_until
):
    async with Receiver([410]) as gone, Receiver() as others, open_api() as api:
        elsewhere = await api.with_key(account_id="another")
        await elsewhere.add(f"{others.url}/another-account", events=["endpoint.*", "*"])
        added = await api.add(
            gone.url, description="old board", events=["package.created", "endpoint.*"]
        )
        await api.add(f"{others.url}/by-name", events=["endpoint.disabled"])
        await api.add(f"{others.url}/by-group", events=["endpoint.*"])
        await api.add(f"{others.url}/star", events=["*"])
        await api.order()
        await others.wait_for(3)

        async def disabled():
            shown = await api.show(added["id"])
            return shown if shown["status"] == "disabled" else None

        shown = await wait_until(disabled)
        assert shown["status_reason"] == "gone"
        await api.order()
        await others.wait_for(4)
        await api.idle()
        log = await api.log(f"?endpoint={added['id']}")

    assert len(gone.received) == 1
    assert [(each["status"], each["outcome"]) for each in log] == [(410, "failed")]
    arrived = sorted((each.path, each.json()["event"]) for each in others.received)
    assert arrived == [
        ("/by-group", "endpoint.disabled"),
        ("/by-name", "endpoint.disabled"),
        ("/star", "package.created"),
        ("/star", "package.created"),
    ]
    received = next(each for each in others.received if each.path == "/by-name")
    assert received.json()["data"] == {
        "endpoint_id": added["id"],
        "name": "old board",
        "reason": "gone",
    }


async def test_an_endpoint_that_was_gone_and_came_back_is_enabled_again(open_api, wait_until):
    async with Receiver([410]) as receiver, open_api(RETRY_AT_ONCE) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()

        async def disabled():
            return (await api.show(added["id"]))["status"] == "disabled"

        await wait_until(disabled)
        enabled = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/enable")
        assert (enabled["status"], enabled["status_reason"]) == ("active", None)
        await receiver.wait_for(2)
        [retried, first] = await api.logged(2)
    assert (first["status"], retried["status"]) == (410, 200)
    assert retried["delivery_id"] == first["delivery_id"]
