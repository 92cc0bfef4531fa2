"""Undelivered bags go back to stock: listed, announced once, and among what needs a person."""

from datetime import date

import pytest
from gateway_reports.settings import ReportsSettings
from gateway_reports.site_day import due_day
from plugins.reports.conftest import TOML, Day, delivered

pytestmark = pytest.mark.pages

SETTINGS = """business_days = false
payers = { OptumRx = 14 }
"""


async def announce(day):
    [job] = [each for each in day.gateway.gateway.hooks.jobs() if each.name == "reports-returns"]
    await job.run()


async def test_a_bag_is_due_ten_days_after_its_earliest_fill(day, clock):
    filled = [{"rx_number": "R1", "filled_on": "2026-10-25"}, {"rx_number": "R2"}]
    early, _ = await day.bags([{"prescriptions": filled}, {"rx_number": "R3"}])

    assert await day.get("returns") == {"returns": []}
    clock.step(2 * 24 * 3600)
    [due] = (await day.get("returns"))["returns"]

    assert due == {
        "package_id": early,
        "site": "lakeside",
        "status": "created",
        "filled_on": "2026-10-25",
        "due_on": "2026-11-04",
        "days_late": 0,
        "driver_id": None,
    }
    assert len((await day.get("returns?within_days=8"))["returns"]) == 2


async def test_a_delivered_and_a_returned_bag_are_not_due(day, clock):
    one, two = await day.bags([{"rx_number": "R1"}, {"rx_number": "R2"}])
    await day.report([delivered(one), {"package_id": two, "event": "delivery.returned"}])
    clock.step(30 * 24 * 3600)

    assert await day.get("returns") == {"returns": []}


async def test_a_bag_is_due_by_what_is_left_in_it(day, clock):
    filled = [{"rx_number": "R1", "filled_on": "2026-10-25"}, {"rx_number": "R2"}]
    [bag] = await day.bags([{"prescriptions": filled}])
    [before] = (await day.get("returns?within_days=30"))["returns"]
    clock.step(3600)
    await day.get("returns?within_days=30")
    gone = {"cancel_prescriptions": [{"rx_number": "R1"}]}
    answer = await day.gateway.request("PATCH", f"/api/packages/{bag}", day.key, gone)

    [after] = (await day.get("returns?within_days=30"))["returns"]

    assert answer.status_code == 200, answer.text
    assert (before["due_on"], after["due_on"]) == ("2026-11-04", "2026-11-12")


async def test_a_bag_has_the_driver_and_the_status_that_it_has_now(day, clock):
    [bag] = await day.bags([{"rx_number": "R1"}])
    clock.step(11 * 24 * 3600)
    await day.get("returns")
    await day.report([{"package_id": bag, "event": "delivery.assigned", "driver_id": "Marc"}])

    [due] = (await day.get("returns"))["returns"]

    assert (due["status"], due["driver_id"]) == ("assigned", "Marc")


async def test_a_payer_has_days_of_its_own(harness, clock):
    async with harness(TOML + SETTINGS, clock=clock) as gateway:
        day = Day(gateway, await gateway.issue_key())
        await day.bags([{"metadata": {"payer": "optumrx"}}, {"metadata": {"payer": "other"}}])
        clock.step(11 * 24 * 3600)

        found = (await day.get("returns?within_days=30"))["returns"]

    assert [each["due_on"] for each in found] == ["2026-11-12", "2026-11-16"]


@pytest.mark.parametrize(
    ("begins", "due"), [("2026-11-02", "2026-11-16"), ("2026-11-07", "2026-11-20")]
)
def test_business_days_leave_weekends_out(begins, due):
    assert due_day(date.fromisoformat(begins), 10, business_days=True).isoformat() == due


@pytest.mark.parametrize("business_days", [False, True])
def test_a_return_is_due_on_the_last_day_of_the_calendar_at_the_latest(business_days):
    assert due_day(date.max, 10, business_days=business_days) == date.max


async def test_an_order_with_a_wrong_fill_date_hides_no_other_return(day, clock):
    wrong = [{"rx_number": "R1", "filled_on": "2100-12-31"}]
    _, right = await day.bags([{"prescriptions": wrong}, {"rx_number": "R2"}])
    clock.step(10 * 24 * 3600)

    await announce(day)

    [due] = (await day.get("returns"))["returns"]
    assert due["package_id"] == right


async def test_a_return_is_announced_once_and_needs_a_person(day, clock):
    [bag] = await day.bags([{"rx_number": "R1"}])
    clock.step(10 * 24 * 3600)

    await announce(day)
    await announce(day)

    events = (await day.gateway.get(f"/api/packages/{bag}/events", day.key)).json()["events"]
    due = [each for each in events if each["event"] == "package.return_due"]
    assert [each["data"]["due_on"] for each in due] == ["2026-11-12"]
    found = await day.gateway.gateway.attention.of(day.gateway.caller())
    [item] = [each for each in found if each.kind == "returns_due"]
    assert item.text.startswith("1 undelivered bag is due to go back to stock")
    assert (item.site, item.page) == ("lakeside", "reports/returns?site=lakeside")
    pharmacist = await day.gateway.sign_in("pharmacist", language="fr")
    today = await pharmacist.get("/dashboard")
    assert "sac non livré doit retourner en stock, le plus ancien depuis 2026-11-12" in today.text


async def test_a_return_of_an_account_without_sites_is_announced_too(harness, clock):
    async with harness(TOML, clock=clock) as gateway:
        day = Day(gateway, await gateway.issue_key(account_id="branch"))
        [bag] = await day.bags([{"rx_number": "R1", "site": None}])
        clock.step(10 * 24 * 3600)
        await announce(day)
        answer = await gateway.get(f"/api/packages/{bag}/events", day.key)

    assert "package.return_due" in [each["event"] for each in answer.json()["events"]]


async def test_a_failed_bag_is_due_until_a_person_has_seen_to_it(day, clock):
    [bag] = await day.bags([{"rx_number": "R1"}])
    await day.report([{"package_id": bag, "event": "delivery.failed"}])
    clock.step(10 * 24 * 3600)
    await announce(day)

    before = (await day.get("returns"))["returns"]
    seen = {"needs_person": False}
    answer = await day.gateway.request("PATCH", f"/api/packages/{bag}", day.key, seen)

    assert answer.status_code == 200, answer.text
    assert [each["package_id"] for each in before] == [bag]
    assert await day.get("returns") == {"returns": []}
    found = await day.gateway.gateway.attention.of(day.gateway.caller())
    assert [each for each in found if each.kind == "returns_due"] == []


async def test_the_oldest_of_many_bags_is_not_left_out(day, clock):
    [oldest] = await day.bags([{"rx_number": "R0"}])
    clock.step(9 * 24 * 3600)
    await day.bags([{"rx_number": f"R{number}"} for number in range(1, 2101)])
    clock.step(24 * 3600)

    assert [each["package_id"] for each in (await day.get("returns"))["returns"]] == [oldest]


def test_the_days_of_a_payer_are_found_in_any_case():
    settings = ReportsSettings(payers={"OptumRx": 14})

    assert settings.days_of(" OPTUMRX ") == 14
    assert settings.days_of(None) == settings.days_of("x") == 10
