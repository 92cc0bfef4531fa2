"""Packages on their way to the courier, from a whole gateway to a real HTTP server."""

import asyncio

import msgspec
import pytest
from courier_api import PATIENCE_SECONDS, CourierApi

from gateway.plugin import Destination, new_id

SETTINGS = """
[plugins.json_api]
[plugins.courier]
api_url = "{url}"
client_id = "pharmacy"
client_secret = "{secret}"
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "priority": "stat",
    "requires_signature": True,
}


@pytest.fixture
def courier():
    with CourierApi() as running:
        yield running


@pytest.fixture
def secret():
    return "s3cret"


@pytest.fixture
async def gateway(harness, courier, secret):
    async with harness(SETTINGS.format(url=courier.url, secret=secret)) as running:
        now = running.gateway.clock.now()
        destination = Destination(
            id=new_id("dst", now),
            account_id="default",
            mode="live",
            sink="courier",
            name="Courier",
            events=("package.*",),
            settings={"depot": "LAKESIDE"},
            created_at=now,
        )
        async with running.gateway.database.begin() as connection:
            await running.gateway.destinations.add(connection, destination)
        yield running


async def hand_in(gateway, step="package.ready", **fields):
    """Hand in an order, and report a step of it; returns the package's id."""
    key = await gateway.issue_key()
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER | fields]})
    [package] = answer.json()["package_ids"]
    await report(gateway, package, step)
    return package


async def report(gateway, package, step):
    key = await gateway.issue_key()
    answer = await gateway.post(f"/api/packages/{package}/events", key, {"event": step})
    assert answer.status_code in {200, 201}, answer.text


async def told(courier, came):
    await asyncio.to_thread(courier.wait_until, came)


async def until(ask):
    """Ask again until there is something to return."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await ask()
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_a_package_that_is_ready_is_booked_with_what_a_driver_needs(gateway, courier):
    package = await hand_in(gateway)
    await told(courier, lambda: package in courier.jobs)

    assert courier.jobs[package] == {
        "reference": package,
        "depot": "LAKESIDE",
        "recipient": {
            "name": "Maria Rodriguez",
            "address": "123 Main St, Miami",
            "phone": "+13055551234",
        },
        "speed": "direct",
        "signature": True,
    }
    assert courier.grants == [
        {
            "grant_type": "client_credentials",
            "client_id": "pharmacy",
            "client_secret": "s3cret",
            "scope": "jobs",
        }
    ]
    assert len(courier.seen) == 1, "package.created needs no call"


async def test_one_token_serves_until_it_is_about_to_expire(gateway, courier):
    first, second = [await hand_in(gateway) for _ in range(2)]
    await told(courier, lambda: {first, second} <= set(courier.jobs))
    assert len(courier.grants) == 1

    courier.token_seconds = 0  # the next one is spent at once
    courier.revoke()
    third = await hand_in(gateway)
    await told(courier, lambda: third in courier.jobs)
    fourth = await hand_in(gateway)
    await told(courier, lambda: fourth in courier.jobs)

    assert len(courier.grants) == 3


async def test_a_revoked_token_is_replaced_within_the_attempt(gateway, courier):
    first = await hand_in(gateway)
    await told(courier, lambda: first in courier.jobs)
    courier.revoke()
    second = await hand_in(gateway)
    await told(courier, lambda: second in courier.jobs)

    assert len(courier.grants) == 2
    _, rejected, again = courier.seen
    assert rejected == again, "the same request, with the same key"


@pytest.mark.parametrize(
    "refusal", [500, 503, (429, {"Retry-After": "1"})], ids=["500", "503", "429"]
)
async def test_what_is_refused_for_now_comes_again_with_the_same_key(gateway, courier, refusal):
    courier.statuses = [refusal]
    loop = asyncio.get_running_loop()
    began = loop.time()
    package = await hand_in(gateway)
    await told(courier, lambda: package in courier.jobs)

    first, second = courier.seen
    assert first == second
    if isinstance(refusal, tuple):
        assert loop.time() - began >= 1, "no sooner than Retry-After asks for"


async def test_a_job_whose_answer_was_lost_is_not_booked_twice(gateway, courier):
    courier.loses_answers = 1
    package = await hand_in(gateway)
    await told(courier, lambda: len(courier.seen) >= 2)

    keys = {key for _, _, key in courier.seen}
    assert len(keys) == 1
    assert list(courier.jobs) == [package]


async def test_a_change_and_a_cancellation_reach_the_job_and_nothing_unbooked(gateway, courier):
    booked = await hand_in(gateway)
    await told(courier, lambda: booked in courier.jobs)
    caller = gateway.caller()
    async with gateway.gateway.database.read() as connection:
        package = await gateway.gateway.packages.get(connection, caller, booked)
    moved = msgspec.structs.replace(package.order, patient_address="9 Elm St, Miami")
    await gateway.gateway.amendments.amend(caller, booked, moved)
    await told(courier, lambda: "9 Elm" in courier.jobs[booked]["recipient"]["address"])
    await report(gateway, booked, "package.cancelled")
    await told(courier, lambda: booked not in courier.jobs)
    never = await hand_in(gateway, "package.cancelled")
    await told(courier, lambda: any(never in path for _, path, _ in courier.seen))

    methods = [method for method, _, _ in courier.seen]
    assert methods == ["POST", "PUT", "DELETE", "DELETE"]


async def test_what_the_courier_learned_stands_in_the_accounting_of_disclosures(gateway, courier):
    package = await hand_in(gateway)
    await told(courier, lambda: package in courier.jobs)
    key = await gateway.issue_key()
    asked = {"rx_number": "RX-8872341"}

    async def noted():
        answer = await gateway.post("/api/audit/disclosures", key, asked)
        return [each for each in answer.json()["disclosures"] if each["what"] == "package.booked"]

    [booked] = await until(noted)
    assert (booked["recipient"], booked["fields"]) == ("plugin:courier", ["contact", "identity"])


@pytest.mark.parametrize("secret", ["wrong"])
async def test_a_wrong_secret_is_said_by_the_health_check(gateway, courier):
    await hand_in(gateway)
    await told(courier, lambda: courier.grants)
    checks = gateway.gateway.hooks.health_checks()
    [check] = [each.check for each in checks if each.name == "courier"]

    async def unwell():
        report = await check()
        return None if report.healthy else report.detail

    assert "(invalid_client): check client_id and client_secret" in await until(unwell)
    assert (await gateway.get("/health/ready")).status_code == 200
    assert courier.jobs == {}
