"""Bring a new gateway's database up to date and issue its keys, in a process of its own.

Takes the configuration file and how many keys to issue; prints the keys as JSON.
"""

import json
import sys
from pathlib import Path

from loops import run

from gateway.model.account import DEFAULT_ACCOUNT
from gateway.runtime import Gateway
from gateway.settings import load_settings


async def prepare(config: Path, keys: int) -> list[str]:
    """Open the gateway, which migrates its database, and issue keys."""
    async with Gateway(load_settings(config, {})) as gateway:
        issued = [
            await gateway.keys.issue(
                "bench", account_id=DEFAULT_ACCOUNT, actor="bench", scopes=("all",)
            )
            for _ in range(keys)
        ]
    return [each.key for each in issued]


if __name__ == "__main__":
    print(json.dumps(run(prepare(Path(sys.argv[1]), int(sys.argv[2])))))
