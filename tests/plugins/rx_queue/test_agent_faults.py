"""The reference agent beside a strict pharmacy system: clocks, cuts, and one write per token."""

import asyncio
import json
import sys
from datetime import timedelta

import pytest
from gateway_rx_queue.writers.agent import Agent, AgentSettings, outcome_of_command

from gateway.clock import SystemClock
from gateway.plugin import AddressGuard, OutboundClient, OutboundResponse

pytestmark = pytest.mark.slow

GUARD = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
# Writes a token once, as a pharmacy system with a unique column would; a second one is a fault.
PHARMACY = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
job = json.loads(sys.stdin.read())
with (folder / "calls.jsonl").open("a") as log:
    log.write(json.dumps(job["idempotency_token"]) + chr(10))
try:
    (folder / job["idempotency_token"]).touch(exist_ok=False)
except FileExistsError:
    pass  # written by an earlier attempt
"""


class WrongClock(SystemClock):
    """A clock that is minutes off; its monotonic time isn't."""

    def __init__(self, off):
        self._off = off

    def now(self):
        return super().now() + self._off


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "pharmacy.py"
    script.write_text(PHARMACY)
    (tmp_path / "written").mkdir()
    return [sys.executable, str(script), str(tmp_path / "written")]


@pytest.fixture
async def live(harness):
    toml = "[plugins.rx_queue]\nlease_seconds = 5\n[limits]\nreads_per_minute = 100000\n"
    async with harness(toml) as running:
        yield running


def written(tmp_path):
    return sorted(each.name for each in (tmp_path / "written").iterdir() if "rxq" in each.name)


def calls(tmp_path):
    return (tmp_path / "written" / "calls.jsonl").read_text().splitlines()


async def submitted(gateway, key, rx):
    today = gateway.gateway.clock.now().date().isoformat()
    answer = await gateway.post("/api/rx", key, rx(medication__written_date=today))
    return answer.json()["queueId"]


async def state(gateway, key, queue_id):
    return (await gateway.get(f"/api/rx/{queue_id}", key)).json()["status"]


@pytest.mark.parametrize("minutes", [5, -5, 60 * 24])
async def test_an_agent_with_a_wrong_clock_writes_once_and_reports(
    live, rx, command, tmp_path, minutes
):
    key = await live.issue_key()
    queue_id = await submitted(live, key, rx)
    clock = WrongClock(timedelta(minutes=minutes))

    async with OutboundClient(SystemClock(), GUARD) as client:
        agent = Agent(AgentSettings(live.url, key, command), client, clock)
        await agent.run(once=True)

    assert agent.done == 1
    assert await state(live, key, queue_id) == "completed"
    assert len(calls(tmp_path)) == 1
    assert written(tmp_path) == [f"{queue_id}-0"]


@pytest.mark.parametrize("cut", ["lease lost", "report lost", "answer lost"])
async def test_a_cut_network_leads_to_one_write_for_each_token(live, rx, command, tmp_path, cut):
    key = await live.issue_key()
    queue_id = await submitted(live, key, rx)
    dropped = []

    async with OutboundClient(SystemClock(), GUARD) as client:
        send = client.send

        async def lossy(request):
            path = "result" if request.url.endswith("/result") else "lease"
            if dropped or path != ("lease" if cut == "lease lost" else "result"):
                return await send(request)
            dropped.append(path)
            if cut != "report lost":
                await send(request)  # it arrives; the answer doesn't come back
            return OutboundResponse(duration_ms=1, error="timeout")

        client.send = lossy
        agent = Agent(AgentSettings(live.url, key, command), client, SystemClock())
        async with asyncio.timeout(60):
            while await state(live, key, queue_id) != "completed":
                await agent.run(once=True)
                await asyncio.sleep(0.2)

    assert dropped
    assert written(tmp_path) == [f"{queue_id}-0"]


async def test_a_report_is_sent_once_though_the_lease_is_over(live, rx, tmp_path):
    key = await live.issue_key()
    queue_id = await submitted(live, key, rx)
    reports = []

    class Late(SystemClock):
        steps = 0

        def monotonic_seconds(self):
            Late.steps += 1
            return super().monotonic_seconds() + Late.steps * 1000  # each look is much later

    async with OutboundClient(SystemClock(), GUARD) as client:
        send = client.send

        async def counting(request):
            if request.url.endswith("/result"):
                reports.append(json.loads(request.body))
            return await send(request)

        client.send = counting
        words = [sys.executable, "-c", ""]
        await Agent(AgentSettings(live.url, key, words), client, Late()).run(once=True)

    assert len(reports) == 1
    assert await state(live, key, queue_id) == "completed"


def test_what_is_no_din_is_left_out_and_the_write_is_reported():
    said = outcome_of_command(0, b'{"outcome": "completed", "din": "Ana Silva"}')

    assert said == {"outcome": "completed"}
