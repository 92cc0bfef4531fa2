"""Promises 1 and 2 where the process dies that holds deliveries it claimed as it stored them.

The moment of death is exact: a plugin kills its process between the commit and the first byte of a
webhook, an endpoint kills it between the last byte and the answer.
"""

import os
import signal
import time

import pytest
from core.plugins.distributions import Site
from hostile import Request, Send, answering
from journeys.faults.endpoints import Endpoint
from journeys.faults.experiment import Experiment

# asyncio says 255 where another reaped the child before it: the code is lost then, not the death.
KILLED = (-signal.SIGKILL, 255)

pytestmark = pytest.mark.slow

KILLER = """
import os
import signal
from pathlib import Path

import msgspec

from gateway.plugin import API_VERSION, hookimpl


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    armed: str


class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        self._armed = Path(settings.armed)

    @hookimpl
    def events_recorded(self, events):
        if self._armed.exists():
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
"""
# An endpoint's answer is stored within 50 ms; a machine that is busy takes longer.
UNSETTLED_SECONDS = 2.0


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request, own_postgres):
    if request.param == "SQLite":
        yield request.param, None
        return
    with own_postgres.fresh_database() as url:
        yield request.param, url


async def test_what_was_stored_and_not_yet_sent_is_sent_by_the_next_process(
    tmp_path, database, monkeypatch, note
):
    name, url = database
    Site(tmp_path / "site").plugin("killer", KILLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    armed = tmp_path / "armed"
    more = f'[plugins.killer]\narmed = "{armed}"\n'
    async with Experiment(tmp_path, database_url=url, more=more) as experiment:
        await experiment.under_load()

        armed.touch()
        await experiment.load.until(lambda: experiment.load.refusals["connection"] > 0)
        killed_at = time.monotonic()
        assert await experiment.gateway.stop() in KILLED
        unsettled = just_answered(experiment, killed_at)
        experiment.mending()
        await experiment.gateway.start()

        row = await experiment.verdict(
            f"server killed between commit and sending, on {name}", "kill -9 by a plugin"
        )
    assert row.exhausted == 0
    assert row.duplicates <= unsettled
    note(row)


async def test_what_was_sent_and_not_yet_answered_is_sent_again_and_nothing_else_is(
    tmp_path, database, note
):
    name, url = database
    deadly = DeadlyEndpoint()
    async with Experiment(tmp_path, deadly, Endpoint("quick"), database_url=url) as experiment:
        await experiment.under_load()

        deadly.kills(experiment.gateway)
        await experiment.load.until(lambda: experiment.load.refusals["connection"] > 0)
        killed_at = time.monotonic()
        assert await experiment.gateway.stop() in KILLED
        unsettled = just_answered(experiment, killed_at)
        experiment.mending()
        await experiment.gateway.start()

        row = await experiment.verdict(
            f"server killed between sending and answer, on {name}", "kill -9 by an endpoint"
        )
    assert row.exhausted == 0
    assert 1 <= row.duplicates <= unsettled
    note(row)


class DeadlyEndpoint(Endpoint):
    """Kills the gateway once, with its request in hand, and then answers."""

    def __init__(self) -> None:
        super().__init__("deadly", fault=self._kill_and_answer, accepts=True)
        self._gateway = None

    def kills(self, gateway) -> None:
        """Kill ``gateway`` at the next request."""
        self._gateway = gateway

    async def _kill_and_answer(self, send: Send, request: Request) -> None:
        if self._gateway is not None:
            gateway, self._gateway = self._gateway, None
            os.kill(gateway.pid, signal.SIGKILL)
        await answering()(send, request)


def just_answered(experiment: Experiment, killed_at: float) -> int:
    """Count the webhooks whose answer the gateway had perhaps not stored when it was killed."""
    return sum(
        moment > killed_at - UNSETTLED_SECONDS
        for endpoint in experiment.endpoints
        for moment in endpoint.first_at.values()
    )
