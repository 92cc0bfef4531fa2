"""``gateway rx …`` against a gateway's own file, without a server."""

import asyncio
import json
import re

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.runtime import Gateway
from gateway.settings import load_settings


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("[plugins.rx_queue]\n", encoding="utf-8")
    return path


@pytest.fixture
def run(config):
    def ran(*words, expect=0):
        result = CliRunner().invoke(main, [*words, "--config", str(config), "--json"])
        assert result.exit_code == expect, result.output
        return json.loads(result.stdout) if expect == 0 else result.stderr

    return ran


@pytest.fixture
def excepted(config, rx):
    """The id of a job that waits for a person."""

    async def submitted():
        from gateway_rx_queue import mapping
        from gateway_rx_queue.service import RxService
        from gateway_rx_queue.settings import RxQueueSettings

        from gateway.model.account import Caller

        async with Gateway(load_settings(config, {})) as gateway:
            queue = RxService(gateway, RxQueueSettings())
            candidate = mapping.candidate(rx(prescriber=None, medication__sig=None))
            taken = await queue.intake.accept(Caller("default", "live", "key_1"), [candidate], None)
        return taken.results[0].queueId

    return asyncio.run(submitted())


def test_what_waits_is_listed_without_the_patient(run, excepted):
    [listed] = run("rx", "list", "--status", "excepted")

    assert listed["queueId"] == excepted
    assert "sig_missing" in listed["reasons"]
    assert "Silva" not in json.dumps(listed)
    assert run("rx", "list", "--status", "queued") == []
    assert run("rx", "list", "--test") == []


def test_a_job_is_shown_claimed_and_resolved(run, excepted):
    masked = run("rx", "show", excepted)["prescription"]
    assert (masked["patient"]["last_name"], masked["medication"]) == ("S.", None)
    shown = run("rx", "show", excepted, "--reveal")
    assert shown["prescription"]["patient"]["last_name"] == "Silva"

    claimed_by = run("rx", "claim", excepted)["claimed_by"]
    assert re.fullmatch(r"cli:[^/]+/[^/]+", claimed_by)
    resolved = run(
        "rx",
        "resolve",
        excepted,
        "--note",
        "called",
        "--set",
        "medication.sig=1 tab daily",
        "--set",
        "prescriber.name=Dr. Lee",
        "--set",
        "medication.refills=2",
        "--set",
        "medication.days_supply=null",
    )
    assert resolved == {"queueId": excepted, "status": "queued"}
    after = run("rx", "show", excepted, "--reveal")
    assert after["approved_by"] == claimed_by
    assert after["prescription"]["medication"]["refills"] == 2
    assert after["corrections"][0]["after"]["prescriber.name"] == "Dr. Lee"


@pytest.mark.parametrize("digits", ["0", "3651", "9" * 5000])
def test_a_number_out_of_bounds_is_refused_by_its_field(run, excepted, digits):
    said = run("rx", "resolve", excepted, "--set", f"medication.days_supply={digits}", expect=1)

    assert "medication.days_supply" in said
    assert run("rx", "show", excepted)["status"] == "excepted"


def test_a_job_is_released_and_rejected(run, excepted):
    run("rx", "claim", excepted)
    assert run("rx", "release", excepted)["status"] == "excepted"
    assert run("rx", "reject", excepted, "--reason", "double")["status"] == "rejected"
    assert "rejected" in run("rx", "claim", excepted, expect=1)


def test_a_correction_needs_a_value_and_a_field_that_is_there(run, excepted):
    assert "medication.din=02242705" in run("rx", "resolve", excepted, "--set", "x", expect=1)
    assert "medication.dose" in run(
        "rx", "resolve", excepted, "--set", "medication.dose=1", expect=1
    )
    assert "no such job" in run("rx", "show", "rxq_nope", expect=1)


def test_an_agent_without_a_key_or_a_command_says_so(run, monkeypatch):
    monkeypatch.delenv("GATEWAY_API_KEY", raising=False)
    words = ("rx", "agent", "--url", "http://127.0.0.1:1", "--once")
    assert "GATEWAY_API_KEY" in run(*words, "--command", "true", expect=1)
    monkeypatch.setenv("GATEWAY_API_KEY", "sk_live_x")
    assert "--command" in run(*words, "--command", " ", expect=1)
