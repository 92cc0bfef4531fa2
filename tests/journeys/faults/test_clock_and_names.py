"""The clock steps back; a name leads somewhere else from one moment to the next."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from journeys.faults.endpoints import Endpoint, broken, late
from journeys.faults.experiment import Experiment
from journeys.faults.nameserver import NameServer

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
NAME = "hooks.pharmacy.test"
OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"
# Runs what follows with a resolv.conf of its own, which nobody else sees.
WITH_NAMES = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')


class MovedClock:
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved

    def monotonic_seconds(self) -> float:
        return monotonic()


async def test_a_clock_that_steps_back_an_hour_holds_nothing_up(tmp_path, note):
    clock = MovedClock()
    # autorx signs no time: what was signed an hour ago is not what is tried here
    well, failing = Endpoint("well", "autorx"), Endpoint("failing", "autorx", fault=broken())
    async with Experiment(tmp_path, well, failing, clock=clock) as experiment:
        # Given retries that wait, and deliveries on their way
        experiment.load.start()
        await experiment.load.more(40)
        await experiment.load.until(lambda: len(well.acknowledged) > 0 and failing.tries > 10)

        clock.moved = -HOUR
        await experiment.load.more(20)
        experiment.mending()
        failing.fault = None

        row = await experiment.verdict("clock set back by an hour", "during load, one process")
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)


async def test_a_clock_that_steps_forward_an_hour_sends_nothing_in_flight_twice(tmp_path, note):
    clock = MovedClock()
    slow = Endpoint("slow", "autorx", fault=late(1.0), accepts=True)
    async with Experiment(tmp_path, Endpoint("quick", "autorx"), slow, clock=clock) as experiment:
        # Given deliveries in flight, whose leases end long before an hour is over
        experiment.load.start()
        await experiment.load.more(40)
        await experiment.load.until(lambda: len(slow.acknowledged) > 0)

        clock.moved = HOUR
        experiment.mending()
        await experiment.load.more(20)

        row = await experiment.verdict("clock set forward by an hour", "during load, one process")
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)


@pytest.fixture
def resolv_conf(tmp_path):
    """A file that says to ask the name server of this test."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a name server for one process alone needs Linux and root")
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {NameServer.HOST}\noptions timeout:1 attempts:2\n")
    tried = subprocess.run([*WITH_NAMES, file, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("a name server for one process alone can't be mounted here")
    return file


async def test_a_name_that_moves_inside_after_the_check_leads_nobody_inside(
    tmp_path, resolv_conf, note
):
    endpoint = Endpoint("moves", host=OUTSIDE, known_as=NAME, trap_at=INSIDE)
    async with (
        NameServer({NAME: OUTSIDE}) as names,
        Experiment(
            tmp_path, endpoint, networks=[f"{OUTSIDE}/32"], before=(*WITH_NAMES, str(resolv_conf))
        ) as experiment,
    ):
        # Given a name that is outside when it is looked up first, and inside ever after
        names.then(NAME, INSIDE)
        asked = names.asked
        experiment.load.start(senders=1)
        await experiment.load.until(lambda: len(endpoint.acknowledged) > 0)
        await experiment.load.until(lambda: names.asked > asked + 1)
        assert endpoint.trap.connections == 0
        experiment.mending()
        names.always(NAME, OUTSIDE)

        row = await experiment.verdict(
            "DNS changes between check and dial", "outside once, then 127.0.0.1, then outside"
        )
        assert endpoint.trap.connections == 0
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)
