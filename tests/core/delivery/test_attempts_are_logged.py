"""Every try that fails leaves a line in the log; one that goes well leaves none."""

import logging

import pytest
from core.delivery.delivery_source import until
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import add_destination, opened, sqlite_url

from gateway.clock import SteppingClock, SystemClock
from gateway.observability import log_context
from gateway.storage.batcher import Batcher

LOGGER = "gateway.delivery.dispatcher"
FIELDS = ("destination_id", "delivery_id", "event_id", "attempt", "status", "error", "next_due")


async def tried(tmp_path, kind: type[Scripted] = Scripted, **outcome):
    """Try one delivery; returns the ids of its destination, itself and its event."""
    clock = SteppingClock()
    sink = kind(clock, **outcome)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination = await add_destination(gateway)
        [delivery] = await publish(gateway)
        await carried(gateway, destination)
        return destination, delivery, sink.delivered[0][1].id


def line_of(caplog) -> dict:
    [line] = [each for each in caplog.records if each.name == LOGGER]
    return {"level": line.levelno, **{name: getattr(line, name) for name in FIELDS}}


async def test_a_try_that_failed_says_whose_it_was_and_when_the_next_is(tmp_path, caplog):
    destination, delivery, event = await tried(tmp_path, retry_after_seconds=60)

    assert line_of(caplog) == {
        "level": logging.WARNING,
        "destination_id": destination,
        "delivery_id": delivery,
        "event_id": event,
        "attempt": 1,
        "status": 500,
        "error": None,
        "next_due": "2026-01-01T00:01:00Z",
    }


class Slow(Scripted):
    """A sink whose every try outlasts the retry schedule."""

    async def deliver(self, batch):
        self.clock.step(86_400)
        return await super().deliver(batch)


async def test_the_last_try_says_that_it_was(tmp_path, caplog):
    await tried(tmp_path, Slow, status=None, error="timeout")
    line = line_of(caplog)

    assert line["level"] == logging.ERROR
    assert (line["status"], line["error"], line["next_due"]) == (None, "timeout", None)
    assert "attempt failed; the delivery is exhausted" in caplog.text


async def test_a_try_that_went_well_leaves_no_line(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    await tried(tmp_path, delivered=True, status=200)

    assert [each for each in caplog.records if each.name.startswith("gateway.delivery")] == []


async def test_a_try_that_went_well_leaves_a_line_for_those_who_look_closely(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    destination, delivery, _ = await tried(tmp_path, delivered=True, status=200)
    line = line_of(caplog)

    assert (line["level"], line["status"]) == (logging.DEBUG, 200)
    assert (line["destination_id"], line["delivery_id"]) == (destination, delivery)


@pytest.mark.parametrize("error", ["Maria Rodriguez", "timeout: Maria", "Maria", "x" * 41, ""])
async def test_an_error_that_is_no_word_stays_out_of_the_log(tmp_path, caplog, error):
    await tried(tmp_path, status=None, error=error)

    assert line_of(caplog)["error"] == "other"
    assert not error or error not in caplog.text


class Asking(Scripted):
    """A sink that notes under which ids it would log."""

    async def deliver(self, batch):
        self.request_id = log_context.request_id.get()
        self.ids = log_context.destination_id.get(), log_context.delivery_id.get()
        return await super().deliver(batch)


async def test_what_a_sink_logs_goes_under_the_ids_of_its_delivery(tmp_path):
    clock = SteppingClock()
    sink = Asking(clock)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination = await add_destination(gateway)
        [delivery] = await publish(gateway)
        await carried(gateway, destination)

    assert sink.ids == (destination, delivery)


async def test_a_delivery_is_not_logged_under_the_request_that_woke_its_lane(tmp_path):
    sink = Asking(SystemClock(), delivered=True)
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)
        async with gateway.running():
            log_context.request_id.set("somebodys")
            await publish(gateway)
            await until(lambda: len(sink.delivered) == 1)

    assert sink.request_id is None


async def test_a_batch_is_not_logged_under_the_first_request_in_it():
    seen = []

    async def flush(items):
        seen.append(log_context.request_id.get())
        return items

    log_context.request_id.set("somebodys")
    await Batcher(flush).submit(1)

    assert seen == [None]


async def test_several_deliveries_at_once_go_under_their_destination(tmp_path):
    clock = SteppingClock()
    sink = Asking(clock)
    sink.max_batch = 10
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination = await add_destination(gateway, max_in_flight=1)
        await publish(gateway, "pkg_1", "pkg_2")
        await carried(gateway, destination)

    assert sink.ids == (destination, None)
