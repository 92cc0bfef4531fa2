"""A process that claims items of a queue and says which, for tests that kill it.

``python queue_process.py <folder of core> <database url> <shape> <lease seconds> <claims>``: writes
the payloads of each claim as a line of JSON. After ``hold`` it keeps its items and waits to be
killed; after ``drain`` it settles each and goes on until nothing is left.
"""

import asyncio
import json
import sys


async def main(url: str, shape: str, lease_seconds: float, mode: str) -> None:
    from core.storage.queues import Bench

    from gateway.clock import SystemClock
    from gateway.storage.database import Database

    database = Database(url)
    bench = Bench(shape, database, SystemClock())
    while items := await bench.claim(3, lease_seconds):
        sys.stdout.write(json.dumps([item.row.payload for item in items]) + "\n")
        sys.stdout.flush()
        if mode == "hold":
            await asyncio.Event().wait()
        for item in items:
            await bench.queue.finish(item.done())
    await database.close()


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    asyncio.run(main(sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5]))
