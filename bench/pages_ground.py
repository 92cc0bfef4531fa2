"""Prepares a gateway for people: very many stored packages, and sessions to look at them with.

A process of its own. Reads a job from stdin, prints the sessions' cookies.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from history_fill import fill
from loops import run

from gateway.clock import to_epoch_ms
from gateway.runtime import Gateway
from gateway.settings import load_settings
from gateway.testing.people import begin_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The gateway's configuration, how many packages it holds, how many people are signed in."""

    config: str
    packages: int
    people: int


async def prepare(job: Job) -> list[str]:
    """Fill the database, an event and a delivery to each package; returns the cookies."""
    async with Gateway(load_settings(Path(job.config), {})) as gateway:
        now_ms = to_epoch_ms(gateway.clock.now())
        if job.packages:
            await fill(gateway.database, 0, job.packages, job.packages, now_ms, events_each=1)
        return [await begin_session(gateway, "owner") for _ in range(job.people)]


if __name__ == "__main__":
    print(json.dumps(run(prepare(Job(**json.loads(sys.stdin.readline()))))))
