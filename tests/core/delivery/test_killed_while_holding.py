"""A process is killed (SIGKILL) that had a job, a token's renewal and a message; others go on."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from core.storage.rows import with_all_tables
from waiting import PATIENCE_SECONDS

from gateway.clock import SystemClock
from gateway.delivery.cluster_jobs import ClusterJobs
from gateway.plugin import Arrival, Credential, Inbox, Job, Token
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import load_or_create
from gateway.storage.database import Database

CHILD = Path(__file__).with_name("holding_process.py")
# The killed process renews nothing any more; it has long enough to take all three.
LEASE_SECONDS = 3.0


@pytest.mark.slow
async def test_what_a_killed_process_had_is_taken_up_when_its_lease_ends(database_url, tmp_path):
    database = Database(database_url)
    await with_all_tables(database)
    key_file = tmp_path / "master.key"
    gateway = SimpleNamespace(
        database=database, sealer=Sealer(load_or_create(key_file)), clock=SystemClock(), audit=None
    )
    done = []

    async def handle(message):
        done.append(("message", message.body, message.attempts))

    async def run():
        done.append(("job",))

    async def obtain(_stored):
        return Token(access_token="granted")

    inbox = Inbox("acme", gateway, handle, lease_seconds=LEASE_SECONDS)
    async with database.begin() as connection:
        await inbox.add(connection, [Arrival(key="d1", body=b"Maria")])
    began = asyncio.get_running_loop().time()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        database_url,
        str(key_file),
        str(LEASE_SECONDS),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    assert line == b"taken\n"

    jobs = ClusterJobs(database, gateway.clock, lease_seconds=LEASE_SECONDS)
    job = jobs.shared(Job("poll", run, 3600.0, once_per_cluster=True, plugin="acme"))
    credential = Credential("acme", "api", gateway, obtain, renewal_seconds=LEASE_SECONDS)
    assert await credential.token() == "granted"
    async with asyncio.timeout(PATIENCE_SECONDS), inbox:
        while len(done) < 2:
            await job.run()
            await inbox.worker.run()
            await inbox.worker.idle()
            await asyncio.sleep(0.05)
        await job.run()

    assert sorted(done) == [("job",), ("message", b"Maria", 2)]
    assert asyncio.get_running_loop().time() - began >= LEASE_SECONDS
    await database.close()
