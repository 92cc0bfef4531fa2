"""Prepares a gateway for people: very many stored packages, and sessions to look at them with.

A process of its own. Reads a job from stdin, prints the sessions' cookies and, of some packages of
every age, the id and what they are found by.
"""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loops import run
from mass_fill import Filling, Lent, fill, note_views

from gateway.clock import to_epoch_ms
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.runtime import Gateway
from gateway.settings import load_settings
from gateway.storage.stores.package_lists import PackageFilter
from gateway.testing.people import begin_session

_CALLER = Caller(DEFAULT_ACCOUNT, "live", "bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The gateway's configuration, how many packages it holds, how many people are signed in.

    ``at`` are sites; a person of each alone is signed in beside the owners.
    """

    config: str
    url: str
    packages: int
    people: int
    at: list[str] = field(default_factory=list)


async def prepare(job: Job) -> dict[str, Any]:
    """Fill the database; returns the cookies of owners and of the people of sites, and the rest."""
    settings = load_settings(Path(job.config), {})
    async with Gateway(settings) as gateway:
        filling = await _planned(gateway, job.packages) if job.packages else None
    began = time.monotonic()
    if filling is not None:
        await fill(job.url, filling)
    seconds = time.monotonic() - began
    async with Gateway(settings) as gateway:
        if filling is not None:
            async with gateway.database.begin() as connection:
                await note_views(connection, gateway.packages, gateway.clock.now())
        return {
            "cookies": [await begin_session(gateway, "owner") for _ in range(job.people)],
            "at": [await begin_session(gateway, "manager", sites=[each]) for each in job.at],
            "old_id": "" if filling is None else filling.id_of("pkg", filling.patients + 60),
            "searched": [] if filling is None else filling.searched(),
            "filled_seconds": seconds,
        }


async def _planned(gateway: Gateway, packages: int) -> Filling:
    """Let a package that the product delivered lend its order and its events."""
    async with gateway.database.read() as connection:
        wanted = PackageFilter(1, status="completed")
        [package] = await gateway.packages.page(connection, _CALLER, wanted)
        happened = await gateway.events.of_subject(connection, _CALLER, package.id)
    lent = Lent(
        order=package.order,
        package_id=package.id,
        events={each.type: each for each in happened},
    )
    now_ms = to_epoch_ms(gateway.clock.now())
    return Filling(count=packages, now_ms=now_ms, packages=gateway.packages, lent=lent)


if __name__ == "__main__":
    print(json.dumps(run(prepare(Job(**json.loads(sys.stdin.readline()))))))
