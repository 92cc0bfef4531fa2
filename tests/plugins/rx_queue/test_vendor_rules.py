"""Rules that another plugin brings."""

import asyncio

import pytest
from gateway_rx_queue.extension_points import RxRule
from gateway_rx_queue.model import Reason
from waiting import PATIENCE_SECONDS

from gateway.errors import PluginError
from gateway.hookspecs import hookimpl


def bring(gateway, *records):
    class Vendor:
        @hookimpl
        def extensions(self, point):
            return list(records) if point == "rx_queue.rules" else []

    gateway.gateway.hooks.register(Vendor(), "vendor")


async def says_no(cases):
    return [
        [Reason(code="not_ours", message=case.prescription.patient.last_name)] for case in cases
    ]


async def raises(cases):
    raise ValueError(cases[0].prescription.patient.last_name)


async def hangs(cases):
    await asyncio.Event().wait()


async def says_too_little(cases):
    return []


async def says_nonsense(cases):
    return [[Reason(code="Not A Code")] for _ in cases]


async def test_a_vendor_s_rule_holds_a_prescription_up(harness, rx):
    gateway = harness("[plugins.rx_queue]\n")
    bring(gateway, RxRule("vendor", says_no))
    async with gateway:
        key = await gateway.issue_key()
        queue_id = (await gateway.post("/api/rx", key, rx())).json()["queueId"]
        found = (await gateway.get(f"/api/rx/{queue_id}", key)).json()

    assert found["status"] == "excepted"
    assert found["reasons"] == [{"code": "not_ours", "message": "Silva", "rule": "vendor"}]


@pytest.mark.parametrize("review", [raises, hangs, says_too_little, says_nonsense])
async def test_a_rule_that_fails_sends_its_cases_to_a_person(harness, rx, caplog, review):
    gateway = harness("[plugins.rx_queue]\n")
    bring(gateway, RxRule("vendor", review))
    async with gateway:
        key = await gateway.issue_key()
        async with asyncio.timeout(PATIENCE_SECONDS):
            queue_id = (await gateway.post("/api/rx", key, rx())).json()["queueId"]
        found = (await gateway.get(f"/api/rx/{queue_id}", key)).json()

    assert [each["code"] for each in found["reasons"]] == ["rule_failed"]
    assert "rule vendor failed" in caplog.text
    assert "Silva" not in caplog.text


async def test_something_else_than_a_rule_stops_the_start(harness):
    gateway = harness("[plugins.rx_queue]\n")
    bring(gateway, "a rule")

    with pytest.raises(PluginError, match="no RxRule"):
        await gateway.__aenter__()
