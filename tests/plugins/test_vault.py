"""The plugin of docs/how-to/start-a-plugin.md: controlled prescriptions to one place, no names."""

import re
import sys

import pytest
from shape.tree import ROOT

from gateway.cli.loose_plugins import loose_plugins, write_distribution
from gateway.plugin import Destination, new_id
from gateway.testing import Receiver

GUIDE = ROOT / "docs" / "how-to" / "start-a-plugin.md"
RX = {
    "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"},
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {
        "drug_text": "hydromorphone 2 mg tab",
        "quantity": 30,
        "days_supply": 10,
        "sig": "1 tab daily",
        "written_date": "2026-11-01",
    },
}
ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd"}


@pytest.fixture
def vault(tmp_path, monkeypatch):
    [text] = re.findall(r"```python\n(\"\"\"Controlled.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    folder = tmp_path / "loose"
    folder.mkdir()
    (folder / "vault.py").write_text(text, "utf-8")
    write_distribution(folder, loose_plugins(folder))
    monkeypatch.syspath_prepend(folder)
    yield text
    sys.modules.pop("vault", None)


async def add_destination(harness):
    caller, gateway = harness.caller(), harness.gateway
    now = gateway.clock.now()
    place = Destination(
        id=new_id("dst", now),
        account_id=caller.account_id,
        mode=caller.mode,
        sink="vault",
        name="Vault",
        events=("*",),
        settings={},
        site=None,
        created_at=now,
    )
    async with gateway.database.begin() as connection:
        await gateway.destinations.add(connection, place)


async def test_a_plugin_of_forty_lines_keeps_controlled_prescriptions_to_one_place(vault, harness):
    async with Receiver() as receiver:
        toml = "[plugins.json_api]\n[plugins.webhooks]\n[plugins.rx_queue]\n"
        toml += f'[plugins.vault]\nurl = "{receiver.url}/vault"\n'
        async with harness(toml) as gateway:
            key = await gateway.issue_key()
            sent = {"url": f"{receiver.url}/rest", "format": "standard"}
            made = await gateway.post("/api/webhooks/endpoints", key, sent)
            await add_destination(gateway)
            taken = await gateway.post("/api/rx", key, RX)
            await receiver.wait_for(1)
            await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
            received = await receiver.wait_for(3)

    assert made.status_code == 201
    assert len(vault.splitlines()) <= 40
    told = [(each.path, each.json()) for each in received]
    of_rx = [(path, body) for path, body in told if body["type"].startswith("rx.")]
    assert [body["id"] for _, body in of_rx] == [taken.json()["queueId"]] * len(of_rx)
    assert {path for path, _ in of_rx} == {"/vault"}
    assert [path for path, body in told if body["type"] == "package.created"] == ["/rest"]
    assert b"Silva" not in b"".join(each.body for each in received if each.path == "/vault")
