"""``gateway rx agent``: a command for each job, against a real gateway process."""

import asyncio
import json
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from gateway_rx_queue.writers import agent_command
from gateway_rx_queue.writers.agent import Agent, AgentSettings, outcome_of_command
from processes import TOML, GatewayProcess
from waiting import PATIENCE_SECONDS

from gateway.cli import main
from gateway.clock import SystemClock
from gateway.errors import InvalidInput, NotAuthenticated
from gateway.plugin import AddressGuard, OutboundClient, OutboundResponse
from gateway.testing import Receiver

GUARD = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
LIVE = "[plugins.rx_queue]\n[plugins.webhooks]\n"
# Writes down what it is job_input, and says what the file beside it says.
COMMAND = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
job_input = sys.stdin.read()
with (folder / "job_input.jsonl").open("a") as log:
    log.write(job_input)
answer = folder / "answer.json"
sys.stdout.write(answer.read_text() if answer.exists() else "")
code = folder / "code"
sys.exit(int(code.read_text()) if code.exists() else 0)
"""


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "write.py"
    script.write_text(COMMAND)
    return [sys.executable, str(script), str(tmp_path)]


@pytest.fixture
async def live(harness):
    async with harness(LIVE) as running:
        yield running


@pytest.fixture
async def live_key(live):
    return await live.issue_key()


async def submitted(gateway, key, rx, **changes):
    today = gateway.gateway.clock.now().date().isoformat()
    answer = await gateway.post("/api/rx", key, rx(medication__written_date=today, **changes))
    assert answer.status_code == 202, answer.text
    return answer.json()["queueId"]


async def work(gateway, key, command, **more):
    async with OutboundClient(SystemClock(), GUARD) as client:
        agent = Agent(AgentSettings(gateway.url, key, command, **more), client, SystemClock())
        await agent.run(once=True)
    return agent


async def state(gateway, key, queue_id):
    return (await gateway.get(f"/api/rx/{queue_id}", key)).json()


async def test_a_command_that_succeeds_completes_the_job(live, live_key, rx, command, tmp_path):
    queue_id = await submitted(live, live_key, rx)

    agent = await work(live, live_key, command)

    assert agent.done == 1
    found = await state(live, live_key, queue_id)
    assert found["status"] == "completed"
    assert json.loads((tmp_path / "job_input.jsonl").read_text()) == {
        "queueId": queue_id,
        "idempotency_token": f"{queue_id}-0",
        "attempt": 1,
        "site": None,
        "prescription": found["prescription"],
    }


async def test_a_command_may_say_how_it_went(live, live_key, rx, command, tmp_path):
    queue_id = await submitted(live, live_key, rx)
    (tmp_path / "answer.json").write_text('{"outcome": "excepted", "reasons": ["sig_missing"]}')

    await work(live, live_key, command)

    found = await state(live, live_key, queue_id)
    assert found["status"] == "excepted"
    assert [each["code"] for each in found["reasons"]] == ["sig_missing"]


async def test_many_jobs_go_side_by_side(live, live_key, rx, command, tmp_path):
    ids = [
        await submitted(
            live, live_key, rx, external_id=str(number), patient__external_patient_id=str(number)
        )
        for number in range(6)
    ]

    agent = await work(live, live_key, command, slots=3)

    assert agent.done == 6
    job_input = [
        json.loads(line) for line in (tmp_path / "job_input.jsonl").read_text().splitlines()
    ]
    assert sorted(each["queueId"] for each in job_input) == sorted(ids)


async def test_a_command_that_fails_is_retried(live, live_key, rx, command, tmp_path):
    queue_id = await submitted(live, live_key, rx)
    (tmp_path / "code").write_text("75")

    await work(live, live_key, command)

    found = await state(live, live_key, queue_id)
    assert found["status"] == "queued"
    assert found["history"][-1]["why"] == "command_exit_75"


async def test_a_command_that_can_not_be_run_is_said(live, live_key, rx, caplog):
    queue_id = await submitted(live, live_key, rx)

    await work(live, live_key, ["/no/such/program"])

    assert (await state(live, live_key, queue_id))["history"][-1]["why"] == "command_not_run"
    assert "see --command" in caplog.text
    assert "Silva" not in caplog.text


async def test_a_command_that_takes_longer_than_its_lease_is_stopped(live, live_key, rx):
    queue_id = await submitted(live, live_key, rx)
    endless = [sys.executable, "-c", "import time; time.sleep(60)"]

    await work(live, live_key, endless, lease_seconds=4)

    found = await state(live, live_key, queue_id)
    assert found["history"][-1]["why"] == "command_timed_out"


@pytest.mark.parametrize(
    ("exit_code", "output", "expected"),
    [
        (0, b"", {"outcome": "completed"}),
        (0, b' \n{"outcome": "failed", "reason": "x"}', {"outcome": "failed", "reason": "x"}),
        (0, b"done", {"outcome": "retry", "reason": "command_said_nonsense"}),
        (0, b'{"outcome": "maybe"}', {"outcome": "retry", "reason": "command_said_nonsense"}),
        (0, b" " + b"x" * 70_000, {"outcome": "retry", "reason": "command_said_too_much"}),
        (1, b'{"outcome": "completed"}', {"outcome": "retry", "reason": "command_exit_1"}),
        (-9, b"", {"outcome": "retry", "reason": "command_exit_9"}),
    ],
)
def test_what_the_end_of_a_command_means(exit_code, output, expected):
    assert outcome_of_command(exit_code, output) == expected


async def test_a_wrong_key_and_a_gateway_without_agents_end_the_agent(live, harness, command):
    with pytest.raises(NotAuthenticated):
        await work(live, "sk_live_" + "0" * 48, command)
    async with harness('[plugins.rx_queue]\nwriter = "simulator"\n') as other:
        with pytest.raises(InvalidInput, match="status 409"):
            await work(other, await other.issue_key(), command)


async def test_a_gateway_out_of_reach_is_waited_for_until_the_agent_is_stopped(command, caplog):
    async with Receiver([500]) as receiver:

        class Gone:
            url = receiver.url

        async with OutboundClient(SystemClock(), GUARD) as client:
            agent = Agent(AgentSettings(Gone.url, "k", command), client, SystemClock())
            running = asyncio.create_task(agent.run())
            await receiver.wait_for(1)
            agent.stop()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await running


async def test_a_report_that_got_no_answer_is_sent_again(live, live_key, rx, command):
    queue_id = await submitted(live, live_key, rx)
    async with OutboundClient(SystemClock(), GUARD) as client:
        send, refused = client.send, []

        async def lossy(request):
            if request.url.endswith("/result") and not refused:
                refused.append(request.url)
                return OutboundResponse(duration_ms=1, error="timeout")
            return await send(request)

        client.send = lossy
        settings = AgentSettings(live.url, live_key, command)
        agent = Agent(settings, client, SystemClock())
        await agent.run(once=True)

    assert len(refused) == 1
    assert agent.done == 1
    assert (await state(live, live_key, queue_id))["status"] == "completed"


async def test_a_job_that_is_no_longer_ours_is_left_alone(live, live_key, rx, tmp_path, caplog):
    queue_id = await submitted(live, live_key, rx)
    async with OutboundClient(SystemClock(), GUARD) as client:
        send = client.send

        async def too_late(request):
            if request.url.endswith("/result"):
                return OutboundResponse(duration_ms=1, status=409)
            return await send(request)

        client.send = too_late
        words = [sys.executable, "-c", ""]
        agent = Agent(AgentSettings(live.url, live_key, words), client, SystemClock())
        await agent.run(once=True)

    assert agent.done == 0
    assert f"{queue_id} is no longer ours" in caplog.text


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (OutboundResponse(duration_ms=1, status=403), NotAuthenticated),
        (OutboundResponse(duration_ms=1, status=400), InvalidInput),
        (OutboundResponse(duration_ms=1, status=200, cut=True), InvalidInput),
    ],
)
async def test_an_answer_that_no_patience_mends_ends_the_agent(command, answer, error):
    class Deaf:
        async def send(self, _request):
            return answer

    agent = Agent(AgentSettings("http://127.0.0.1", "k", command), Deaf(), SystemClock())
    with pytest.raises(error):
        await agent.run()


@pytest.mark.slow
async def test_an_agent_killed_after_its_write_writes_with_the_same_token_again(
    tmp_path, rx, command
):
    toml = TOML + "[plugins.rx_queue]\nlease_seconds = 3\n"
    (tmp_path / "gateway").mkdir()
    async with GatewayProcess(tmp_path / "gateway", toml) as server:
        key = (await server.json("keys", "create", "--name", "agent", "--scope", "all"))["key"]
        (tmp_path / "key").write_text(key)
        endpoint_events: list[dict] = []
        async with Receiver() as receiver:
            await server.json(
                "endpoints", "add", receiver.url, "--events", "rx.completed", "--format", "autorx"
            )
            import httpx

            async with httpx.AsyncClient(
                headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS
            ) as client:
                sent = rx(medication__written_date=SystemClock().now().date().isoformat())
                answer = await client.post(f"{server.url}/api/rx", json=sent)
                queue_id = answer.json()["queueId"]
            # It writes, and is gone before it can report.
            script = tmp_path / "die.py"
            script.write_text(
                "import os, pathlib, signal, sys\n"
                "job_input = sys.stdin.read()\n"
                f"pathlib.Path({str(tmp_path / 'job_input.jsonl')!r}).open('a').write(job_input)\n"
                "os.kill(os.getppid(), signal.SIGKILL)\n"
            )
            words = ("rx", "agent", "--url", server.url, "--key-file", str(tmp_path / "key"))
            await server.run(*words, "--once", "--command", f"{sys.executable} {script}")
            while not endpoint_events:
                code, out, err = await server.run(
                    *words, "--once", "--json", "--command", " ".join(command)
                )
                assert code == 0, err
                if json.loads(out)["done"]:
                    endpoint_events = [each.json() for each in await receiver.wait_for(1)]
            shown = await server.json("rx", "show", queue_id)

    tokens = [
        json.loads(line)["idempotency_token"]
        for line in (tmp_path / "job_input.jsonl").read_text().splitlines()
    ]
    assert tokens == [f"{queue_id}-0"] * 2
    assert [each["event"] for each in endpoint_events] == ["rx.completed"]
    assert [each["why"] for each in shown["history"]] == [
        "submitted",
        "leased",
        "lease_ended",
        "leased",
        "written",
    ]


@pytest.mark.parametrize(
    ("platform", "words", "split"),
    [
        ("linux", "write --to 'my shop' \"a b\" c\\ d", ["write", "--to", "my shop", "a b", "c d"]),
        (
            "win32",
            r'"C:\Program Files\writer\write.exe" --log=C:\logs # "D:\my shop"',
            [r"C:\Program Files\writer\write.exe", r"--log=C:\logs", "#", r"D:\my shop"],
        ),
    ],
)
def test_the_command_is_split_as_the_systems_shell_would(monkeypatch, platform, words, split):
    monkeypatch.setattr(agent_command, "sys", SimpleNamespace(platform=platform))

    assert agent_command._split(words) == split


def test_a_command_with_an_open_quotation_is_refused_in_one_line():
    words = ["rx", "agent", "--url", "http://127.0.0.1:9", "--command", '"write']

    said = CliRunner().invoke(main, words, env={"GATEWAY_API_KEY": "sk_live_1"})

    assert (said.exit_code, said.stderr) == (
        1,
        "gateway: --command has a quotation mark too few: close each one.\n",
    )
