"""What is looked up about deliveries: lists by filter, attempts as sent, an endpoint's hours."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from gateway_webhooks.inspection import SentRequest, as_curl
from gateway_webhooks.statistics import first_quarter, p95, statistics

from gateway.plugin import Backlog, Timing, to_epoch_ms
from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
NOTHING_WAITS = Backlog(0, False, None, None)  # noqa: FBT003 - a field
FAILING = (502,) * 20


async def listed(api, query=""):
    page = await api.ask("GET", f"/webhooks/deliveries{query}")
    return [(each["endpoint_id"], each["event"], each["state"]) for each in page["deliveries"]]


async def test_deliveries_are_listed_by_state_endpoint_event_answer_and_package(open_api):
    clock = SteppingClock(START)
    async with Receiver() as good, Receiver(FAILING) as bad, open_api(clock=clock) as api:
        works = (await api.add(good.url))["id"]
        fails = (await api.add(bad.url, events=["package.created"]))["id"]
        first, second = await api.order(), await api.order()
        await api.report(first, "ready")
        await api.logged(5)
        await api.idle()

        assert len(await listed(api)) == 5
        assert await listed(api, "?state=delivered&event=package.ready") == [
            (works, "package.ready", "delivered")
        ]
        failed = [(fails, "package.created", "pending")] * 2
        assert await listed(api, "?state=failed") == failed
        assert await listed(api, "?state=pending") == failed
        assert await listed(api, "?state=exhausted") == []
        assert await listed(api, "?status=502") == failed
        assert await listed(api, "?status=5xx") == failed
        assert await listed(api, "?status=404") == []
        assert await listed(api, "?error=timeout") == []
        assert await listed(api, f"?endpoint={fails}") == failed
        assert await listed(api, f"?package={second}&state=failed") == failed[:1]
        assert len(await listed(api, f"?package={first}")) == 3


async def test_pages_of_deliveries_follow_each_other(open_api):
    async with Receiver() as receiver, open_api() as api:
        await api.add(receiver.url, events=["package.created"])
        for _ in range(3):
            await api.order()
        await api.logged(3)
        seen, query = [], "?limit=2"
        while query:
            page = await api.ask("GET", f"/webhooks/deliveries{query}")
            seen.append([each["id"] for each in page["deliveries"]])
            cursor = page["next_cursor"]
            query = f"?limit=2&cursor={cursor}" if cursor else ""

    assert [len(each) for each in seen] == [2, 1]
    assert sorted(seen[0] + seen[1], reverse=True) == seen[0] + seen[1]


@pytest.mark.parametrize("query", ["state=lost", "status=600", "status=5x", "error=A b", "limit=0"])
async def test_a_filter_that_is_none_is_refused(api, query):
    answer = await api.call("GET", f"/webhooks/deliveries?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]


async def test_a_page_looks_through_so_many_deliveries_and_goes_on(open_api, monkeypatch):
    monkeypatch.setattr("gateway.storage.stores.delivery_log._WALKED", 2)
    async with Receiver() as receiver, open_api() as api:
        wanted = (await api.add(receiver.url, events=["package.created"]))["id"]
        await api.order()
        await api.logged(1)
        await api.change(wanted, status="disabled")
        await api.add(receiver.url, events=["package.created"])
        for _ in range(3):
            await api.order()
        await api.logged(4)
        path = f"/webhooks/deliveries?endpoint={wanted}"
        first = await api.ask("GET", path)
        second = await api.ask("GET", f"{path}&cursor={first['next_cursor']}")

    assert first["deliveries"] == []
    assert [each["endpoint_id"] for each in second["deliveries"]] == [wanted]


@pytest.mark.parametrize("wire_format", ["scriptrun", "autorx", "standard"])
async def test_an_attempt_is_shown_with_the_bytes_and_headers_that_were_sent(open_api, wire_format):
    async with Receiver(FAILING) as receiver, open_api() as api:
        added = await api.add(
            receiver.url, format=wire_format, headers={"Authorization": "Bearer secret-token"}
        )
        await api.order(rx_number="RX-8874511", copay_amount="2.50")
        [sent] = await receiver.wait_for(1)
        [attempt] = await api.logged(1)
        path = f"/webhooks/deliveries/{attempt['delivery_id']}/attempts/1"
        shown = await api.ask("GET", path)
    request = shown["request"]

    assert request["body"].encode() == sent.body
    assert request["body_bytes"] == len(sent.body)
    assert (request["method"], request["url"]) == ("POST", added["url"])
    signed = {name: value for name, value in request["headers"].items() if value != "(hidden)"}
    assert {name: sent.headers[name.lower()] for name in signed} == signed
    assert request["headers"]["Authorization"] == "(hidden)"
    assert (request["is_masked"], request["differs"]) == (False, [])
    assert (shown["status"], shown["response"]) == (502, "ok")


async def test_a_caller_who_sees_no_patient_sees_the_size_and_a_masked_body(open_api):
    async with Receiver() as receiver, open_api() as api:
        await api.add(receiver.url)
        await api.order(rx_number="RX-8874511", external_patient_id="PMS-9081")
        [attempt] = await api.logged(1)
        [sent] = await receiver.wait_for(1)
        masked = await api.with_key(scopes=["webhooks.read"])
        path = f"/webhooks/deliveries/{attempt['delivery_id']}/attempts/1"
        request = (await masked.ask("GET", path))["request"]

    assert request["is_masked"]
    assert request["body_bytes"] == len(sent.body)
    assert "8874511" in sent.body.decode()
    assert "8874511" not in json.dumps(request)
    assert "PMS-9081" not in json.dumps(request)


async def test_what_changed_since_an_attempt_is_named(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()
        [attempt] = await api.logged(1)
        path = f"/webhooks/deliveries/{attempt['delivery_id']}/attempts/1"
        endpoint = f"/webhooks/endpoints/{added['id']}"
        clock.step(60)
        rotating = await api.ask("POST", f"{endpoint}/rotate", {"overlap_hours": 1})
        during = (await api.ask("GET", path))["request"]
        clock.step(3600)
        after = (await api.ask("GET", path))["request"]
        await api.change(added["id"], headers={"X-Other": "1"})
        moved = (await api.ask("GET", path))["request"]
        await api.call("DELETE", endpoint)
        removed = (await api.ask("GET", path))["request"]
        [sent] = receiver.received

    header = "X-ScriptRun-Signature"
    assert during["differs"] == []
    assert during["headers"][header] == sent.headers[header.lower()]
    assert after["differs"] == ["secret"]
    assert rotating["rotation_ends_at"] == "2026-04-19T19:43:10Z"
    assert moved["differs"] == ["secret", "settings"]
    assert (removed["differs"], removed["body"]) == (["removed"], None)


async def test_no_such_attempt(api):
    assert (await api.call("GET", "/webhooks/deliveries/dlv_1/attempts/1")).status_code == 404


async def test_an_endpoint_shows_success_and_p95_by_quarter_hour_and_what_waits(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order()
        await api.logged(1)
        clock.step(900)
        receiver.answers = [502]
        await api.order()
        await api.logged(2)
        await api.idle()
        shown = await api.ask("GET", f"/webhooks/endpoints/{added['id']}/stats?hours=1")

    assert [(each["start"], each["delivered"], each["failed"]) for each in shown["quarters"]] == [
        ("2026-04-19T18:00:00Z", 0, 0),
        ("2026-04-19T18:15:00Z", 0, 0),
        ("2026-04-19T18:30:00Z", 1, 0),
        ("2026-04-19T18:45:00Z", 0, 1),
    ]
    assert (shown["delivered"], shown["failed"], shown["success"]) == (1, 1, 0.5)
    assert (shown["waiting"], shown["waiting_has_more"], shown["is_whole"]) == (1, False, True)
    assert shown["oldest_waiting_at"] == "2026-04-19T18:57:10Z"
    assert shown["p95_ms"] is not None


def test_ninety_five_per_cent_are_within_the_p95():
    assert p95([]) is None
    assert p95([7]) == 7
    assert p95(range(1, 101)) == 95
    assert p95(range(1, 21)) == 19


def test_a_quarter_begins_at_a_full_quarter_of_an_hour():
    first = first_quarter(START, 24)
    timings = [Timing(to_epoch_ms(START - timedelta(hours=3)), 40, True)]  # noqa: FBT003 - a field
    found = statistics(timings, first, START, NOTHING_WAITS, is_whole=True)

    assert len(found.quarters) == 96
    assert first == datetime(2026, 4, 18, 18, 45, tzinfo=UTC)
    assert [each.start for each in found.quarters if each.delivered] == [
        datetime(2026, 4, 19, 15, 30, tzinfo=UTC)
    ]
    assert found.success == 1.0


async def test_a_recovery_is_counted_before_it_is_started(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"], max_per_second=5)
        path = f"/webhooks/endpoints/{added['id']}"
        await api.change(added["id"], status="disabled")
        for _ in range(3):
            await api.order()
        clock.step(60)
        await api.change(added["id"], status="active")
        since = {"since": "2026-04-19T18:00:00Z"}
        counted = await api.ask("POST", f"{path}/recover/rehearse", since)
        listed_after = await listed(api)

    assert counted == {
        "endpoint_id": added["id"],
        "since": "2026-04-19T18:00:00Z",
        "until": "2026-04-19T18:43:10Z",
        "looked_at": 3,
        "would_queue": 3,
        "is_whole": True,
        "max_per_second": 5.0,
    }
    assert listed_after == []


async def test_what_a_receiver_learns_is_listed_by_event_with_the_patients_fields(api):
    added = await api.add("https://example.com/hooks", events=["package.created", "delivery.*"])
    shown = await api.ask("GET", f"/webhooks/endpoints/{added['id']}/fields")
    learned = {each["event"]: each["fields"] for each in shown["events"]}

    assert "package.ready" not in learned
    assert "delivery.completed" in learned
    fields = learned["package.created"]
    assert (fields["rx_number"], fields["external_patient_id"], fields["copay_amount"]) == (
        "rx",
        "identity",
        "money",
    )
    assert fields["package_id"] is None


def test_an_attempt_as_curl_quotes_what_a_shell_would_read_and_hides_headers():
    sent = SentRequest(
        "https://example.com/hooks?a=1&b=2",
        {"X-Sig": "t=1,v1=ab", "X-Api-Token": "(hidden)"},
        b'{"note":"it\'s"}',
        15,
        False,  # noqa: FBT003 - a field
        (),
    )

    assert as_curl(sent) == (
        "curl -X POST 'https://example.com/hooks?a=1&b=2' \\\n"
        "  -H 'X-Sig: t=1,v1=ab' \\\n"
        '  -H "X-Api-Token: $X_API_TOKEN" \\\n'
        "  --data-binary '{\"note\":\"it'\\''s\"}'"
    )
