"""A process that claims messages and never finishes them, for tests that kill it.

``python inbox_process.py <database url> <data folder>`` prints the ids that it has claimed.
"""

import asyncio
import json
import sys
from pathlib import Path


async def main(url: str, folder: str) -> None:
    from gateway_shopify.inbox import Inbox

    from gateway.runtime import Gateway
    from gateway.settings import parse_settings

    toml = f"""
[gateway]
data_dir = "{Path(folder).as_posix()}"
[database]
url = "{url}"
[plugins.shopify]
"""
    settings = parse_settings(toml, source=None, directory=Path(folder), environ={})
    claimed: list[str] = []

    async def process(message):
        claimed.append(message.id)
        if len(claimed) == 2:
            sys.stdout.write(json.dumps(sorted(claimed)) + "\n")
            sys.stdout.flush()
        await asyncio.Event().wait()

    async with Gateway(settings) as gateway:
        inbox = Inbox(gateway, process)
        inbox.worker.wake()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
