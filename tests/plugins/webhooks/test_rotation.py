"""A secret is rotated: both sign for a while, then the new one alone, and no receiver breaks."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from gateway_webhooks.rotation import ended_rotations
from sqlalchemy import select

from gateway.storage.schema import audit
from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
HOUR = 3600


def signed_with(webhook):
    """Return the signatures of an autorx webhook: in use, and the one that rides along."""
    headers = webhook.headers
    return headers["x-autorx-signature"], headers.get("x-autorx-signature-next")


def by(secret, webhook):
    return hmac.new(secret.encode(), webhook.body, hashlib.sha256).hexdigest()


class Rotation:
    """An autorx endpoint whose secret is rotated, on a clock that is moved by hand."""

    def __init__(self, api, clock, receiver, endpoint):
        self.api, self.clock, self.receiver = api, clock, receiver
        self.path = f"/webhooks/endpoints/{endpoint['id']}"

    async def rotate(self, body=None, status=200):
        return await self.api.ask("POST", f"{self.path}/rotate", body, status)

    async def finish(self, status=200):
        return await self.api.ask("POST", f"{self.path}/rotate/finish", status=status)

    async def signatures(self):
        """Send a test event; returns the webhook that arrived and its signatures."""
        await self.api.ask("POST", f"{self.path}/test")
        webhook = self.receiver.received[-1]
        return webhook, signed_with(webhook)


@pytest.fixture
async def rotation(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        endpoint = await api.add(receiver.url, format="autorx")
        made = Rotation(api, clock, receiver, endpoint)
        made.first_secret = endpoint["secret"]
        yield made


async def test_a_new_secret_is_shown_once_and_rides_along_for_a_day(rotation):
    old = rotation.first_secret
    rotated = await rotation.rotate()
    new = rotated["secret"]
    assert new.startswith("whsec_")
    assert new != old
    assert rotated["rotation_ends_at"] == "2026-04-20T18:42:10Z"
    shown = await rotation.api.call("GET", rotation.path)
    assert "whsec_" not in shown.text
    assert shown.json()["rotation_ends_at"] == "2026-04-20T18:42:10Z"

    webhook, signatures = await rotation.signatures()
    assert signatures == (by(old, webhook), by(new, webhook))
    rotation.clock.step(24 * HOUR - 1)
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(old, webhook), by(new, webhook))
    rotation.clock.step(1)
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(new, webhook), None)


async def test_the_overlap_can_be_ended_at_once(rotation):
    new = (await rotation.rotate({"overlap_hours": 2}))["secret"]
    finished = await rotation.finish()
    assert finished["rotation_ends_at"] is None
    assert "secret" not in finished
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(new, webhook), None)


async def test_a_second_rotation_waits_for_the_first(rotation):
    old = rotation.first_secret
    new = (await rotation.rotate())["secret"]
    assert await rotation.rotate(status=409) == {
        "error": "A rotation is already running; finish it, then start another.",
        "code": "conflict",
        "details": [],
    }
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(old, webhook), by(new, webhook))


async def test_an_ended_rotation_can_be_followed_by_another(rotation):
    second = (await rotation.rotate({"overlap_hours": 1}))["secret"]
    rotation.clock.step(HOUR)
    third = (await rotation.rotate({"overlap_hours": 1}))["secret"]
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(second, webhook), by(third, webhook))
    await rotation.finish()
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(third, webhook), None)


async def test_without_an_overlap_the_new_secret_takes_over_at_once(rotation):
    new = (await rotation.rotate({"overlap_hours": 0}))["secret"]
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(new, webhook), None)


async def test_a_rotation_that_was_never_started_cannot_be_finished(rotation):
    assert await rotation.finish(409) == {
        "error": "No rotation is running; start one first.",
        "code": "conflict",
        "details": [],
    }


async def test_a_finished_rotation_forgets_the_old_secret(rotation):
    gateway = rotation.api.harness.gateway
    await rotation.rotate()
    await rotation.finish()
    async with gateway.database.read() as connection:
        [kept] = await gateway.destinations.list(connection, rotation.api.harness.caller())
    assert rotation.first_secret not in str(kept.settings)


async def test_an_overlap_is_between_none_and_thirty_days(rotation):
    sentence = "overlap_hours must be between 0 and 720"
    for hours in (-1, -0.001, 720.001, 1e300):
        assert await rotation.rotate({"overlap_hours": hours}, 400) == {
            "error": sentence,
            "code": "invalid_input",
            "details": [{"message": sentence, "field": "overlap_hours"}],
        }
    assert (await rotation.api.ask("GET", rotation.path))["rotation_ends_at"] is None


async def test_thirty_days_are_the_longest_overlap(rotation):
    rotated = await rotation.rotate({"overlap_hours": 720})
    assert rotated["rotation_ends_at"] == "2026-05-19T18:42:10Z"


async def test_a_rotation_with_a_body_that_does_not_fit_is_refused(rotation):
    for body, problem in (
        ({"overlap": 1}, {"message": "Object contains unknown field overlap"}),
        ({"overlap_hours": "1"}, {"message": "Expected float, got str", "field": "overlap_hours"}),
        ([], {"message": "Expected object, got array"}),
    ):
        assert await rotation.rotate(body, 400) == {
            "error": "The request body doesn't fit.",
            "code": "invalid_input",
            "details": [problem],
        }


async def test_changing_an_endpoint_does_not_touch_a_running_rotation(rotation):
    old = rotation.first_secret
    new = (await rotation.rotate())["secret"]
    await rotation.api.ask("PATCH", rotation.path, {"headers": {"X-A": "1"}})
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(old, webhook), by(new, webhook))
    assert webhook.headers["x-a"] == "1"


async def kept(rotation):
    gateway = rotation.api.harness.gateway
    async with gateway.database.read() as connection:
        [found] = await gateway.destinations.list(connection, rotation.api.harness.caller())
    return str(found.settings)


async def end_rotations(rotation):
    jobs = {job.name: job for job in rotation.api.harness.gateway.hooks.jobs()}
    await jobs["webhooks-rotations"].run()


async def test_when_the_overlap_ends_by_time_the_old_secret_is_deleted(rotation):
    new = (await rotation.rotate({"overlap_hours": 1}))["secret"]
    rotation.clock.step(HOUR - 1)
    await end_rotations(rotation)
    assert rotation.first_secret in await kept(rotation)
    rotation.clock.step(1)
    await end_rotations(rotation)
    assert rotation.first_secret not in await kept(rotation)
    assert new in await kept(rotation)
    webhook, signatures = await rotation.signatures()
    assert signatures == (by(new, webhook), None)


async def test_the_end_of_a_rotation_is_in_the_audit_trail_once(rotation):
    await rotation.rotate({"overlap_hours": 1})
    rotation.clock.step(HOUR)
    await end_rotations(rotation)
    await end_rotations(rotation)
    gateway = rotation.api.harness.gateway
    async with gateway.database.read() as connection:
        found = await connection.execute(
            select(audit.c.actor, audit.c.subject).where(
                audit.c.action == "endpoint.rotation_ended"
            )
        )
        assert [tuple(row) for row in found] == [("gateway", rotation.path.rpartition("/")[2])]


async def test_an_ended_rotation_is_not_shown(rotation):
    await rotation.rotate({"overlap_hours": 1})
    rotation.clock.step(HOUR)
    assert (await rotation.api.ask("GET", rotation.path))["rotation_ends_at"] is None
    listed = await rotation.api.ask("GET", "/webhooks/endpoints")
    assert [each["rotation_ends_at"] for each in listed["endpoints"]] == [None]
    assert await rotation.finish(409) == {
        "error": "No rotation is running; start one first.",
        "code": "conflict",
        "details": [],
    }


async def test_a_change_after_the_overlap_deletes_the_old_secret_too(rotation):
    await rotation.rotate({"overlap_hours": 1})
    rotation.clock.step(HOUR)
    changed = await rotation.api.ask("PATCH", rotation.path, {"description": "board"})
    assert changed["rotation_ends_at"] is None
    assert rotation.first_secret not in await kept(rotation)


async def test_all_due_rotations_are_found_on_any_number_of_endpoints(rotation):
    others = [await rotation.api.add(rotation.receiver.url) for _ in range(4)]
    removed, *ending = [f"/webhooks/endpoints/{each['id']}" for each in others]
    for path in (removed, *ending):
        await rotation.api.ask("POST", f"{path}/rotate", {"overlap_hours": 1})
    await rotation.api.ask("DELETE", removed, status=204)
    rotation.clock.step(HOUR)
    gateway = rotation.api.harness.gateway
    found = [each.id async for each in ended_rotations(gateway, page_size=2)]
    assert sorted(found) == sorted(path.rpartition("/")[2] for path in ending)
    await end_rotations(rotation)
    settings = await kept_by_all(rotation)
    assert len(settings) == 4
    assert [each for each in settings if each["next_secret"]] == []


async def kept_by_all(rotation):
    gateway = rotation.api.harness.gateway
    async with gateway.database.read() as connection:
        found = await gateway.destinations.list(connection, rotation.api.harness.caller())
    return [each.settings for each in found]
