"""A backup made while orders pour in is one moment: whole requests, with all that is theirs."""

import asyncio
import shutil

import httpx
import pytest
from core.gateways import opened
from processes import TOML, GatewayProcess
from sqlalchemy import func, select
from waiting import PATIENCE_SECONDS

from gateway.storage.schema import deliveries, events, packages
from gateway.testing import Receiver

pytestmark = pytest.mark.slow

AT_ONCE = 20
SENDERS = 3


class Load:
    """Senders that hand orders in without a pause; ``answered`` are the packages so far."""

    def __init__(self, url, key):
        self.url, self.key = url, key
        self.answered = set()
        self.running = True
        self.moved = asyncio.Condition()

    async def send(self):
        order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd"}
        body = {"orders": [order] * AT_ONCE}
        async with httpx.AsyncClient(
            headers={"X-API-Key": self.key}, timeout=PATIENCE_SECONDS
        ) as http:
            while self.running:
                answer = await http.post(f"{self.url}/api/webhook/orders", json=body)
                assert answer.status_code == 200, answer.text
                async with self.moved:
                    self.answered |= set(answer.json()["package_ids"])
                    self.moved.notify_all()

    async def until_more(self, count):
        """Wait for so many more packages."""
        enough = len(self.answered) + count
        async with asyncio.timeout(PATIENCE_SECONDS), self.moved:
            await self.moved.wait_for(lambda: len(self.answered) >= enough)


@pytest.fixture
def toml(database_url):
    return f'{TOML}\n[database]\nurl = "{database_url}"\n'


async def test_what_was_answered_before_a_backup_is_in_it_whole(tmp_path, toml):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere / "data"):
        folder.mkdir(parents=True)
    file = tmp_path / "kept.backup"
    async with Receiver() as receiver, GatewayProcess(home, toml) as gateway:
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        await gateway.json("endpoints", "add", receiver.url)
        load = Load(gateway.url, key)
        senders = [asyncio.create_task(load.send()) for _ in range(SENDERS)]
        await load.until_more(5 * AT_ONCE)
        before = set(load.answered)
        # When a backup is made while they go on
        saved = await gateway.json("backup", str(file))
        await load.until_more(5 * AT_ONCE)
        load.running = False
        await asyncio.gather(*senders)
    # And put back on another machine that has the master key
    shutil.copy(home / "data" / "master.key", elsewhere / "data")
    other = GatewayProcess(elsewhere)
    assert (await other.json("restore", "--check", str(file)))["rows"] == saved["rows"]
    assert (await other.json("restore", str(file)))["rows"] == saved["rows"]

    url = f"sqlite+aiosqlite:///{elsewhere / 'data' / 'gateway.db'}"
    data_dir = f'[gateway]\ndata_dir = "{elsewhere / "data"}"\n'
    async with (
        opened(url, elsewhere, toml=data_dir) as restored,
        restored.database.read() as connection,
    ):
        found = set((await connection.execute(select(packages.c.id))).scalars())
        told = list((await connection.execute(select(events.c.subject))).scalars())
        count = select(func.count()).select_from(deliveries)
        sent = (await connection.execute(count)).scalar()
        payloads = await connection.execute(select(packages.c.id, packages.c.payload).limit(5))
        for package_id, payload in payloads:
            assert restored.sealer.unseal(payload, table="packages", row_id=package_id)
    # Then all that was answered before is there, whole requests only, each told of once
    assert before <= found <= load.answered
    assert len(found) % AT_ONCE == 0
    assert sorted(told) == sorted(found)
    assert sent == len(found)
