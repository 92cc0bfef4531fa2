"""Why a webhook didn't arrive can be told from what is shown, without reading code."""

import pytest

from gateway.testing import Receiver

TRIPS_AT_ONCE = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
breaker_failures = 1
"""


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("delivery.complete", "did you mean delivery.completed?"),
        ("deliveries.*", "did you mean delivery.*?"),
        ("package.create", "did you mean package.created?"),
        ("weather.changed", "GET /api/event-types lists them"),
    ],
)
async def test_a_pattern_that_matches_nothing_is_refused_with_a_suggestion(
    open_api, pattern, advice
):
    async with open_api() as api, Receiver() as receiver:
        sent = {"url": receiver.url, "events": ["delivery.*", pattern]}
        refused = await api.ask("POST", "/webhooks/endpoints", sent, 400)
        added = await api.add(receiver.url)
        path = f"/webhooks/endpoints/{added['id']}"
        again = await api.ask("PATCH", path, {"events": [pattern]}, 400)

    [problem] = refused["details"]
    assert problem == {
        "field": "events",
        "message": f"{pattern} matches no event type; {advice}",
    }
    assert again["details"] == refused["details"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a" * 1007, "a header's value has more than 1000 characters"),
        ("caf\u00e9", "a header's value must be visible ASCII characters"),
    ],
)
async def test_a_header_value_is_refused_for_what_is_wrong_with_it(open_api, value, message):
    async with open_api() as api, Receiver() as receiver:
        sent = {"url": receiver.url, "headers": {"X-Tenant": value}}
        refused = await api.ask("POST", "/webhooks/endpoints", sent, 400)

    assert refused["details"] == [{"field": "headers", "message": message}]


async def test_the_pending_deliveries_of_a_removed_endpoint_end_and_say_why(open_api):
    async with open_api() as api, Receiver([500] * 9) as receiver:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()
        [attempt] = await api.logged(1)
        waiting = await api.delivery(attempt["delivery_id"])
        await api.ask("DELETE", f"/webhooks/endpoints/{added['id']}", status=204)
        ended = await api.delivery(attempt["delivery_id"])

    assert (waiting["state"], waiting["reason"]) == ("pending", None)
    assert (ended["state"], ended["reason"]) == ("exhausted", "removed")
    assert ended["explanation"] == "the endpoint was removed before the delivery went out"
    assert ended["finished_at"] is not None


async def test_a_test_of_a_paused_endpoint_names_the_pause_and_what_ends_it(open_api):
    async with open_api() as api, Receiver() as receiver:
        added = await api.add(receiver.url)
        await api.change(added["id"], status="paused")
        shown = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")

    assert (shown["state"], shown["reason"], shown["attempts"]) == ("pending", "paused", [])
    assert "gateway endpoints enable ID" in shown["explanation"]


async def test_a_test_behind_an_open_breaker_names_it_and_what_ends_it(open_api):
    async with (
        open_api(TRIPS_AT_ONCE) as api,
        Receiver([500] * 9) as receiver,
    ):
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()
        await api.logged(1)
        shown = await api.ask("POST", f"/webhooks/endpoints/{added['id']}/test")

    assert (shown["state"], shown["reason"]) == ("pending", "breaker_open")
    assert "circuit breaker" in shown["explanation"]


async def test_an_attempt_says_in_a_sentence_why_it_failed(open_api):
    async with open_api() as api:
        async with Receiver() as gone:
            url = gone.url
        await api.add(url, events=["package.created"])
        await api.order()
        [attempt] = await api.logged(1)

    assert attempt["error"] == "connect"
    assert attempt["explanation"].startswith("no connection: the server is down")
