"""The parts of the kept demo: its clock, its inventions, and what goes on while people look."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from waiting import until

from gateway.demo.at_work import AtWork
from gateway.demo.calls import Program
from gateway.demo.clock import ZONES, PlayedClock, working_zone
from gateway.demo.invented import Inventor, copay_of
from gateway.demo.morning import PORTAL, Morning
from gateway.demo.rounds import Dispatch
from gateway.demo.subscribers import Subscribers
from gateway.model.package import DeliveryUpdate
from gateway.model.update import check_update

TOML = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.2]
breaker_failures = 2
breaker_pauses_seconds = [0.2]
[limits]
updates_requests_per_minute = 100000
orders_requests_per_minute = 100000
reads_per_minute = 100000
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
[[sites]]
code = "queen"
name = "Queen"
timezone = "America/Toronto"
country = "CA"
[plugins.json_api]
[plugins.webhooks]
"""


def test_a_played_clock_goes_from_moment_to_moment_and_arrives_at_now():
    clock, now = PlayedClock(), datetime.now(UTC)
    clock.begin_at(now - timedelta(hours=5))
    began = clock.now()

    clock.go_to(now - timedelta(hours=2))
    later = clock.now()
    clock.go_to(now - timedelta(hours=4))
    clock.go_to(now + timedelta(hours=1))
    unmoved = clock.now()
    clock.arrive()

    second = timedelta(seconds=1)
    assert began - (now - timedelta(hours=5)) < second
    assert later - (now - timedelta(hours=2)) < second
    assert unmoved - later < second
    assert clock.now() - datetime.now(UTC) < second


@pytest.mark.parametrize("hour", range(24))
def test_at_every_hour_it_is_working_time_somewhere(hour):
    now = datetime(2026, 11, 29, hour, 30, tzinfo=UTC)

    assert 12 <= now.astimezone(ZoneInfo(working_zone(now))).hour < 20


def test_in_toronto_s_afternoon_the_pharmacies_are_there():
    assert working_zone(datetime(2026, 11, 29, 18, 30, tzinfo=UTC)) == ZONES[0]


def test_the_same_orders_are_invented_at_each_run_and_each_has_its_own_numbers():
    first, again = (Inventor().orders("lakeside", 60) for _ in range(2))

    assert first == again
    numbers = [part["rx_number"] for each in first for part in each["prescriptions"]]
    assert len(set(numbers)) == len(numbers)
    assert len({each["external_order_id"] for each in first}) == 60


def test_what_drivers_report_passes_the_rules():
    inventor = Inventor()
    order = inventor.order("queen")
    door = inventor.door(order["patient_name"], copay_of(order))

    assert door["copay_collected"] == float(copay_of(order))
    check_update(DeliveryUpdate(package_id="pkg_1", event="completed"))


@pytest.mark.long
async def test_the_driver_goes_from_door_to_door_and_the_failing_server_recovers(
    harness, monkeypatch
):
    monkeypatch.setattr("gateway.demo.at_work.RECOVERS_SECONDS", 400.0)
    async with harness(TOML) as running:
        with Subscribers() as subscribers:
            key = await running.issue_key()
            program = Program("the test", running.url, key)
            url = subscribers.url(PORTAL)
            await program.post("/api/webhooks/endpoints", {"url": url})
            subscribers.fail(PORTAL)
            dispatch = Dispatch(program, program, Inventor())
            morning = Morning(running.gateway, PlayedClock(), dispatch, subscribers)
            morning.on_the_road = await dispatch.take(dispatch.inventor.orders("lakeside", 2))
            await dispatch.leave(morning.on_the_road, "maya")

            async def statuses():
                found = await program.get("/api/packages?limit=50")
                return [each["status"] for each in found["packages"]]

            async def both_are_done_and_more_came_in():
                found = await statuses()
                return found.count("completed") + found.count("attempted") > 1 and len(found) > 2

            async def failed_and_was_delivered():
                log = await program.get("/api/webhooks/logs?limit=100")
                return {"failed", "delivered"} <= {each["outcome"] for each in log["attempts"]}

            async with AtWork(morning, dispatch, subscribers, None, hurry=100).going_on():
                await until(both_are_done_and_more_came_in)
                await until(failed_and_was_delivered)
