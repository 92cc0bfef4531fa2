"""What a user sees from outside: the command line and HTTP of real processes."""

import asyncio

import httpx
import pytest
from processes import GatewayProcess
from waiting import PATIENCE_SECONDS

from gateway.testing import Receiver

pytestmark = pytest.mark.slow

PATIENT = {
    "patient_name": "Wilhelmina Quackenbush",
    "patient_address": "77 Zanzibar Crescent, Miami, FL 33178",
    "patient_phone": "+13055559876",
    "patient_email": "w.quackenbush@example.org",
    "rx_number": "RX-77777717",
    "notes": "Leave it with the doorman Balthazar",
    "external_patient_id": "PMS-90817263",
    "external_order_id": "SO-55443322",
    "copay_amount": 12.5,
}


async def _post(gateway: GatewayProcess, path: str, key: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        return await http.post(gateway.url + path, json=body, headers={"X-API-Key": key})


async def test_a_key_revoked_on_the_command_line_is_refused_by_the_next_request(tmp_path):
    async with GatewayProcess(tmp_path) as gateway:
        made = await gateway.json("keys", "create", "--name", "till", "--scope", "all")
        orders = {"orders": [{"patient_name": "A. Smith", "patient_address": "1 Ocean Dr"}]}
        before = await _post(gateway, "/api/webhook/orders", made["key"], orders)

        code, _, _ = await gateway.run("keys", "revoke", made["id"])
        after = await _post(gateway, "/api/webhook/orders", made["key"], orders)

    assert code == 0
    assert before.status_code == 200
    assert after.status_code == 401
    assert after.json() == {
        "error": "This API key was revoked; create a new one (gateway keys create).",
        "code": "not_authenticated",
        "details": [],
    }


async def test_no_patient_data_stands_in_clear_in_any_file_or_log(tmp_path):
    async with Receiver([500]) as receiver, GatewayProcess(tmp_path) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        added = await gateway.json("endpoints", "add", receiver.url)
        answer = await _post(gateway, "/api/webhook/orders", key, {"orders": [PATIENT]})
        package_id = answer.json()["package_ids"][0]
        update = {"event": "delivery.completed", "notes": "Signed by Balthazar"}
        await _post(gateway, f"/api/packages/{package_id}/events", key, update)
        bad = {"orders": [{**PATIENT, "copay_amount": PATIENT["patient_name"]}]}
        refused = await _post(gateway, "/api/webhook/orders", key, bad)
        await receiver.wait_for(3)
        while_running = {path: path.read_bytes() for path in _files(tmp_path)}
    afterwards = {path: path.read_bytes() for path in _files(tmp_path)}

    secrets = [str(value) for value in PATIENT.values() if isinstance(value, str)]
    secrets += ["Quackenbush", "Zanzibar", "5559876", "Balthazar", key, added["secret"]]
    assert refused.status_code == 400
    assert not any(secret in refused.text for secret in secrets)
    assert any(path.name == "gateway.db-wal" for path in while_running)
    for files in (while_running, afterwards):
        found = [
            (path.name, secret)
            for path, content in files.items()
            for secret in secrets
            if secret.encode() in content
        ]
        assert found == []


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_the_server_finishes_what_is_in_flight_when_it_is_asked_to_end(tmp_path):
    async with Receiver() as receiver, GatewayProcess(tmp_path) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        await gateway.json("endpoints", "add", receiver.url)
        orders = {
            "orders": [
                {"patient_name": f"P. {number}", "patient_address": "1 Ocean Dr"}
                for number in range(100)
            ]
        }

        answer = await _post(gateway, "/api/webhook/orders", key, orders)
        code = await gateway.stop()
        arrived = len(receiver.received)
        await gateway.start()
        await asyncio.wait_for(receiver.wait_for(100), 60)

    assert answer.json()["created"] == 100
    assert code == 0
    # What was not sent before the end is sent after the next start, without waiting for a lease.
    assert len({each.json()["id"] for each in receiver.received}) == 100
    assert len(receiver.received) == 100, f"{arrived} arrived before the end"


async def test_the_demo_tells_its_story_and_exits_with_0(tmp_path):
    process = GatewayProcess(tmp_path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        code, out, err = await process.run("demo")

    assert code == 0, err
    assert out.count("✓ signature verified") == 9
    assert "answered 500" in out
    assert "attempt 2" in out
    assert "WRONG" not in out


async def test_a_second_server_on_the_same_file_is_refused_until_the_first_is_gone(tmp_path):
    async with GatewayProcess(tmp_path) as first:
        code, _, err = await first.run("serve")
        listed = await first.run("keys", "list")  # commands go on working beside it
        await first.kill()
        await first.start()

    assert code == 1
    assert err == (
        f"gateway: Another gateway serves {tmp_path / 'data' / 'gateway.db'} already: stop that "
        "one first. Several at a time need PostgreSQL and [redis].\n"
    )
    assert listed[0] == 0
