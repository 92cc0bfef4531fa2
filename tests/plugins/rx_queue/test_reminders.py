"""Prescriptions that wait too long need a person: a reviewer, or the agent's owner."""

from datetime import UTC, datetime

import pytest

from gateway.plugin import AttentionDetail, Caller, HealthReport
from gateway.testing import SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
MINUTE = 60
JOB = Caller("default", "live", "test")


@pytest.fixture
def clock():
    return SteppingClock(START)


async def items(gateway, caller=JOB):
    found = await gateway.gateway.attention.of(caller)
    return [(each.kind, each.site, each.text) for each in found]


async def test_prescriptions_that_wait_for_review_for_half_an_hour_are_counted(harness, clock, rx):
    async with harness("[plugins.rx_queue]\n", clock) as gateway:
        key = await gateway.issue_key()
        for number in range(2):
            await gateway.post("/api/rx", key, rx(prescriber=None, external_id=str(number)))
        clock.step(30 * MINUTE - 1)
        assert await items(gateway) == []

        clock.step(1)

        text = "2 prescriptions have waited for review for over 30 minutes."
        assert await items(gateway) == [("rx_review", None, text)]
        [item] = await gateway.gateway.attention.of(JOB)
        assert item.details == [
            AttentionDetail("prescriber unknown", count=2),
            AttentionDetail("perhaps a duplicate", count=1),
        ]
        assert await items(gateway, Caller("elsewhere", "live", "test")) == []


async def test_a_prescription_that_no_agent_leases_for_a_quarter_of_an_hour_is_reported(
    harness, clock, rx
):
    async with harness("[plugins.rx_queue]\n", clock) as gateway:
        key = await gateway.issue_key()
        await gateway.post("/api/rx", key, rx())
        clock.step(15 * MINUTE)
        [(kind, _, text)] = await items(gateway)
        assert kind == "rx_agent"
        assert text.startswith("1 prescription waits for the agent")

        await gateway.post("/api/rx/lease", key, {})
        assert await items(gateway) == []


async def test_without_an_agent_nothing_waits_for_one(harness, clock, rx):
    async with harness('[plugins.rx_queue]\nwriter = "simulator"\n', clock) as gateway:
        names = [each.name for each in gateway.gateway.hooks.attention()]
    assert names == ["rx-review"]


async def test_the_agents_have_a_line_in_status_that_turns_red(harness, clock, rx):
    """As ``gateway status`` asks for it; whether the server is ready doesn't depend on it."""
    async with harness("[plugins.rx_queue]\n", clock) as gateway:
        key = await gateway.issue_key()
        checks = {each.name: each for each in gateway.gateway.hooks.health_checks()}
        agents = checks["rx-agents"]
        idle = await agents.check()
        await gateway.post("/api/rx", key, rx())
        clock.step(15 * MINUTE)
        silent = await agents.check()
        await gateway.post("/api/rx/lease", key, {})
        busy = await agents.check()

    assert not agents.decides_readiness
    assert idle == HealthReport(True, "no agent leased lately; nothing waits for one")  # noqa: FBT003
    assert silent == HealthReport(
        healthy=False,
        detail="1 prescription waits for the agent since 2026-04-19T18:42:10Z; no agent "
        "leased lately: see that its program runs and reaches the gateway",
        command="gateway rx list --status queued",
    )
    assert busy.detail == "an agent leased 2026-04-19T18:57:10Z; nothing waits for one"


async def test_without_agents_status_has_no_line_of_them(harness):
    async with harness('[plugins.rx_queue]\nwriter = "simulator"\n') as gateway:
        names = {each.name for each in gateway.gateway.hooks.health_checks()}
    assert "rx-agents" not in names
