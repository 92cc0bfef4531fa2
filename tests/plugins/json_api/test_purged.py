"""A package whose contents were deleted at their age is still there, and says so."""

import asyncio
from datetime import timedelta

import pytest
from waiting import PATIENCE_SECONDS

from gateway.testing import Receiver, SteppingClock

PLUGINS = """
[limits]
reads_per_minute = 100000
[plugins.json_api]
[plugins.webhooks]
"""
# Only the test prunes: the clock's step would wake the gateway's own job too.
BY_HAND = f"{PLUGINS}\n[retention]\nenabled = false\n"
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
    "priority": "urgent",
    "requires_signature": True,
    "notes": "Leave with doorman",
    "external_patient_id": "PMS-9081",
    "external_order_id": "SO-1",
    "metadata": {"route": "7"},
}
AGES = {"payload_days": 90, "metadata_days": 730, "log_days": 30}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def receiver():
    async with Receiver() as listening:
        yield listening


@pytest.fixture
async def gateway(harness, clock, receiver):
    async with harness(BY_HAND, clock) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


@pytest.fixture
async def package_id(gateway, key, clock, receiver):
    """A package that was completed, delivered to endpoints, and erased 91 days later."""
    await gateway.post("/api/webhooks/endpoints", key, {"url": receiver.url})
    sent = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [package_id] = sent.json()["package_ids"]
    update = {"event": "delivery.completed", "notes": "with Maria"}
    await gateway.post(f"/api/packages/{package_id}/events", key, update)
    await receiver.wait_for(2)
    await _settled(gateway, 2)
    clock.step(timedelta(days=91).total_seconds())
    swept = await gateway.gateway.housekeeper.prune("test")
    assert {each.what: each.rows for each in swept}["contents of packages"] == 1
    return package_id


async def _deliveries(gateway):
    async with gateway.gateway.database.read() as connection:
        return await gateway.gateway.delivery_log.page(connection, gateway.caller(), limit=10)


async def _settled(gateway, count):
    """Wait until ``count`` deliveries are stored as delivered."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = []
        while found != ["delivered"] * count:
            found = [each.state for each in await _deliveries(gateway)]


async def test_the_package_is_shown_without_its_order(gateway, key, package_id):
    answer = await gateway.get(f"/api/packages/{package_id}", key)

    assert answer.status_code == 200
    assert answer.json() == {
        **dict.fromkeys(ORDER),
        **dict.fromkeys(("patient_email", "delivery_date", "site")),
        "id": package_id,
        "status": "completed",
        "status_at": "2026-01-01T00:00:00Z",
        "mode": "live",
        "source": "json_api",
        "created_at": "2026-01-01T00:00:00Z",
        "purged": True,
    }


async def test_the_timeline_keeps_types_and_times(gateway, key, package_id):
    answer = await gateway.get(f"/api/packages/{package_id}/events", key)

    shown = [
        (each["event"], each["occurred_at"], each["data"], each["purged"])
        for each in answer.json()["events"]
    ]
    assert shown == [
        ("package.created", "2026-01-01T00:00:00Z", {}, True),
        ("delivery.completed", "2026-01-01T00:00:00Z", {}, True),
    ]


async def test_a_package_that_was_not_erased_has_no_purged_field(gateway, key):
    sent = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    [package_id] = sent.json()["package_ids"]

    shown = (await gateway.get(f"/api/packages/{package_id}", key)).json()
    timeline = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()

    assert "purged" not in shown
    assert ["purged" in each for each in timeline["events"]] == [False]


async def test_the_package_is_listed_and_found_by_its_order_id_only(gateway, key, package_id):
    async def found(**wanted):
        answer = await gateway.post("/api/packages/search", key, wanted)
        return [each["id"] for each in answer.json()["packages"]]

    listed = (await gateway.get("/api/packages", key)).json()["packages"]

    assert [(each["id"], each["purged"]) for each in listed] == [(package_id, True)]
    assert await found(external_order_id="SO-1") == [package_id]
    for field in ("rx_number", "patient_phone", "external_patient_id"):
        assert await found(**{field: ORDER[field]}) == []


async def test_the_same_order_again_is_still_a_duplicate(gateway, key, package_id):
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})

    [result] = answer.json()["results"]
    assert (result["status"], result["package_id"]) == ("duplicate", package_id)


async def test_late_news_is_still_recorded(gateway, key, package_id):
    late = {"event": "delivery.arrived", "occurred_at": "2025-12-31T23:00:00Z"}

    answer = await gateway.post(f"/api/packages/{package_id}/events", key, late)

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


async def test_resending_a_deleted_delivery_is_a_conflict(gateway, key, package_id, receiver):
    [delivery, *_] = await _deliveries(gateway)

    answer = await gateway.post(f"/api/webhooks/deliveries/{delivery.id}/resend", key)

    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert "was erased at its age ([retention] payload_days)" in answer.json()["error"]
    assert [each.state for each in await _deliveries(gateway)] == ["delivered"] * 2
    assert len(receiver.received) == 2


async def test_a_gateway_that_is_started_does_it_by_itself(harness, clock, receiver):
    async with harness(PLUGINS, clock) as gateway:
        key = await gateway.issue_key()
        sent = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        [package_id] = sent.json()["package_ids"]
        address = f"/api/packages/{package_id}"
        await gateway.post(f"{address}/events", key, {"event": "package.cancelled"})
    clock.step(timedelta(days=91).total_seconds())

    async with harness(BY_HAND, clock) as gateway:
        assert "purged" not in (await gateway.get(address, key)).json()

    async with harness(PLUGINS, clock) as gateway, asyncio.timeout(PATIENCE_SECONDS):
        shown = {}
        while "purged" not in shown:
            shown = (await gateway.get(address, key)).json()
