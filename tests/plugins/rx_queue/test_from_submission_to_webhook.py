"""From a prescription submitted to the signed webhook in the AutoRx form."""

import hashlib
import hmac

import pytest

from gateway.testing import Receiver

SITES = "".join(
    f'[[sites]]\ncode = "{code}"\nname = "{code}"\n' for code in ("main", "north", "south")
)


@pytest.fixture
def subscribe(gateway, key):
    async def subscribed(receiver, as_key=None, **more):
        body = {"url": receiver.url, "format": "autorx", "events": ["rx.*"], **more}
        answer = await gateway.post("/api/webhooks/endpoints", as_key or key, body)
        assert answer.status_code == 201, answer.text
        return answer.json()["secret"]

    return subscribed


async def test_a_written_prescription_arrives_signed_in_the_autorx_form(
    gateway, rx, submit, lease, report, subscribe
):
    async with Receiver() as receiver:
        secret = await subscribe(receiver, events=["rx.completed"])
        queue_id = await submit(rx())
        [leased] = await lease()
        await report(leased, "completed", din="02242705")
        [webhook] = await receiver.wait_for(1)

    signature = hmac.new(secret.encode(), webhook.body, hashlib.sha256).hexdigest()
    assert webhook.headers["x-autorx-signature"] == signature
    body = webhook.json()
    assert body.pop("id").startswith("evt_")
    assert body == {
        "event": "rx.completed",
        "queueId": queue_id,
        "timestamp": "2026-01-01T00:00:00Z",
        "attempt": 1,
        "attemptedAt": "2026-01-01T00:00:00Z",
        "data": {"patientId": "P-1204", "queueId": queue_id, "din": "02242705"},
    }


async def test_the_same_events_go_out_in_the_other_two_forms(
    gateway, rx, submit, lease, report, subscribe
):
    async with Receiver() as receiver:
        for form in ("scriptrun", "standard"):
            await subscribe(receiver, format=form, events=["rx.completed"])
        queue_id = await submit(rx())
        [leased] = await lease()
        await report(leased, "completed")
        webhooks = await receiver.wait_for(2)

    expected = {"patient_id": "P-1204", "queue_id": queue_id, "din": "02242705"}
    assert [each.json()["data"] for each in webhooks] == [expected, expected]


async def test_an_ambiguous_din_is_excepted_resolved_and_published_in_that_order(
    gateway, key, rx, submit, lease, report, subscribe
):
    async with Receiver() as receiver:
        await subscribe(receiver, ordered=True)
        queue_id = await submit(
            rx(medication__din=None, medication__din_candidates=["02242705", "02230711"])
        )
        resolution = {"corrections": {"medication.din": "02230711"}}
        answer = await gateway.post(f"/api/rx/{queue_id}/resolve", key, resolution)
        assert answer.status_code == 202
        [leased] = await lease()
        before = [each.json()["event"] for each in await receiver.wait_for(2)]
        await report(leased, "completed")
        webhooks = [each.json() for each in await receiver.wait_for(3)]

    assert before == ["rx.queued", "rx.excepted"]
    assert webhooks[1]["data"] == {"reasons": ["din_ambiguous"], "queueId": queue_id}
    assert webhooks[2]["event"] == "rx.resolved"
    assert webhooks[2]["queueId"] == queue_id
    assert webhooks[2]["data"]["din"] == "02230711"
    assert webhooks[2]["data"]["resolvedBy"].startswith("key_")
    assert webhooks[2]["data"]["resolvedAt"] == "2026-01-01T00:00:00Z"


async def test_a_failed_write_is_published_with_its_reason_and_the_queue_id(
    gateway, rx, submit, lease, report, subscribe
):
    async with Receiver() as receiver:
        await subscribe(receiver, events=["rx.failed"])
        queue_id = await submit(rx())
        [leased] = await lease()
        await report(leased, "failed", reason="patient_file_locked")
        [webhook] = await receiver.wait_for(1)

    body = webhook.json()
    assert body["queueId"] == queue_id
    assert body["data"] == {"reason": "patient_file_locked", "queueId": queue_id}


async def test_of_three_sites_each_endpoint_gets_its_own_and_the_shared_one_all(harness, rx):
    toml = "[plugins.rx_queue]\n[plugins.webhooks]\n" + SITES
    async with (
        Receiver() as shared,
        Receiver() as main,
        Receiver() as north,
        harness(toml) as gateway,
    ):
        key = await gateway.issue_key()
        for receiver, site in ((shared, None), (main, "main"), (north, "north")):
            body = {"url": receiver.url, "format": "autorx", "events": ["rx.*"], "site": site}
            answer = await gateway.post("/api/webhooks/endpoints", key, body)
            assert answer.status_code == 201
        ids = {}
        for site in ("main", "north", "south"):
            answer = await gateway.post("/api/rx", key, rx(site=site, external_id=site))
            ids[site] = answer.json()["queueId"]
        test_key = await gateway.issue_key(mode="test")
        await gateway.post("/api/rx", test_key, rx(site="main", external_id="test"))
        everything = await shared.wait_for(3)
        await main.wait_for(1)
        await north.wait_for(1)

    assert sorted(each.json()["queueId"] for each in everything) == sorted(ids.values())
    assert [each.json()["queueId"] for each in main.received] == [ids["main"]]
    assert [each.json()["queueId"] for each in north.received] == [ids["north"]]
