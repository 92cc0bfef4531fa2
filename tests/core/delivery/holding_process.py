"""A process that takes a job, a token's renewal and a message, and finishes none of them.

``python holding_process.py <database url> <key file> <seconds>`` prints a line
when it has all three, and waits to be killed. The leases last for ``seconds``.
"""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace


async def main(url: str, key_file: str, seconds: float) -> None:
    from gateway.clock import SystemClock
    from gateway.delivery.cluster_jobs import ClusterJobs
    from gateway.plugin import Credential, Inbox, Job
    from gateway.storage.crypto.encryption import Sealer
    from gateway.storage.crypto.keyring import load
    from gateway.storage.database import Database

    gateway = SimpleNamespace(
        database=Database(url), sealer=Sealer(load(Path(key_file))), clock=SystemClock(), audit=None
    )
    taken = asyncio.Semaphore(0)

    async def hold(*_anything: object) -> None:
        taken.release()
        await asyncio.Event().wait()

    jobs = ClusterJobs(gateway.database, gateway.clock, lease_seconds=seconds)
    job = Job("poll", hold, 3600.0, once_per_cluster=True, plugin="acme")
    inbox = Inbox("acme", gateway, hold, lease_seconds=seconds)
    credential = Credential("acme", "api", gateway, hold, renewal_seconds=seconds)
    works = [
        asyncio.ensure_future(jobs.shared(job).run()),
        asyncio.ensure_future(credential.token()),
        asyncio.ensure_future(inbox.worker.run()),
    ]
    for _ in works:
        await taken.acquire()
    sys.stdout.write("taken\n")
    sys.stdout.flush()
    await asyncio.gather(*works)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
