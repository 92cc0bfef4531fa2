"""A day's money adds up to the cent, by driver and method, and is closed with what differs."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from plugins.reports.conftest import DAY, delivered

CENT = Decimal("0.01")


def total(values):
    return sum((Decimal(str(each)) for each in values), Decimal("0.00"))


async def test_a_day_of_400_packages_and_25_hours_closes_to_the_cent(day, clock):
    # Two sites, four drivers, odd cents; every tenth pays on account, every fiftieth is short.
    # Twenty more come back: ten are returned in the evening, ten are failed.
    copays = [Decimal(number * 37 % 4999) * CENT for number in range(400)]
    ids = await day.bags(
        [
            {
                "site": "lakeside" if number % 4 else "harbour",
                "copay_amount": float(copay),
                "rx_number": f"RX-{number}",
            }
            for number, copay in enumerate(copays)
        ]
    )
    short = {number for number in range(0, 400, 50) if copays[number] > 1}
    paid = [copay - 1 if number in short else copay for number, copay in enumerate(copays)]
    midnight = datetime(2026, 11, 1, 4, tzinfo=UTC)
    await day.report(
        [
            delivered(
                package_id,
                (midnight + timedelta(hours=number % 25, minutes=59)).isoformat(),
                driver_id=f"drv_{number % 4}",
                copay_collected=float(paid[number]),
                copay_method="on_account" if number % 10 == 0 else "cash",
                proof={
                    "signature_url": f"https://sign.example/{number}.png",
                    "signer_name": f"Signer {number}",
                },
            )
            for number, package_id in enumerate(ids)
        ]
    )
    back = await day.bags(
        [{"rx_number": f"BACK-{number}", "copay_amount": 9.99} for number in range(20)]
    )
    await day.report(
        [
            {
                "package_id": package_id,
                "event": "delivery.returned" if number % 2 else "delivery.failed",
                "occurred_at": "2026-11-02T02:00:00Z",
                "driver_id": "drv_1",
                **({} if number % 2 else {"failure_reason": "no_answer"}),
            }
            for number, package_id in enumerate(back)
        ]
    )

    lakeside = await day.get(f"day?site=lakeside&day={DAY}")
    harbour = await day.get(f"day?site=harbour&day={DAY}")

    assert lakeside["hours"] == 25
    for shown, mine in (
        (lakeside, [each for each in range(400) if each % 4]),
        (harbour, range(0, 400, 4)),
    ):
        money = shown["money"]
        assert money["delivered"] == len(mine)
        assert Decimal(str(money["due"])) == sum(copays[each] for each in mine)
        assert Decimal(str(money["collected"])) == sum(paid[each] for each in mine)
        assert total(money["methods"].values()) == Decimal(str(money["collected"]))
        assert total(each["due"] for each in money["drivers"]) == Decimal(str(money["due"]))
        assert {each["package_id"] for each in money["differences"]} == {
            ids[each] for each in mine if each in short
        }
        closed = (await day.close(site=shown["site"], note="1.00 short each")).json()
        assert closed["closed"]["money"] == money
    log = await day.signatures(*(f"RX-{number}" for number in range(400)))
    assert [each["package_id"] for each in log["lines"]] == ids
    assert [each["signer_name"] for each in log["lines"]] == [
        f"Signer {each}" for each in range(400)
    ]
    assert log["unsigned"] == 0
    clock.step(10 * 24 * 3600)
    due = [each["package_id"] for each in (await day.get("returns"))["returns"]]
    assert sorted(due) == sorted(back[::2])  # a failed one waits for a person, the others are back


async def test_the_day_begins_and_ends_at_the_sites_midnight(day):
    ids = await day.bags([{"copay_amount": 10}] * 4)
    moments = (
        "2026-11-01T03:59:59Z",  # 23:59:59 on the day before, summer time
        "2026-11-01T04:00:00Z",  # midnight
        "2026-11-02T01:00:00Z",  # 20:00
        "2026-11-01T06:30:00Z",  # 01:30, the second one of that night
    )
    await day.report([delivered(each, at) for each, at in zip(ids, moments, strict=True)])

    assert (await day.get(f"day?site=lakeside&day={DAY}"))["money"]["delivered"] == 3
    assert (await day.get("day?site=lakeside&day=2026-10-31"))["money"]["delivered"] == 1


async def test_money_that_differs_is_named_and_nothing_collected_is_not_zero(day):
    short, silent, over, free = await day.bags(
        [{"copay_amount": 12.5}, {"copay_amount": 4}, {"copay_amount": 0}, {}]
    )
    await day.report(
        [
            delivered(short, driver_id="drv_1", copay_collected=10, copay_method="card"),
            delivered(silent, driver_id="drv_1"),
            delivered(over, copay_collected=2.25),
            delivered(free),
        ]
    )

    money = (await day.get(f"day?site=lakeside&day={DAY}"))["money"]

    assert {each["package_id"]: each["kind"] for each in money["differences"]} == {
        short: "short",
        silent: "not_reported",
        over: "over",
    }
    assert money["methods"] == {"card": 10.0, "not said": 2.25}


async def test_a_day_that_differs_needs_a_note_and_is_closed_once(day):
    [bag] = await day.bags([{"copay_amount": 12.5}])
    await day.report([delivered(bag, copay_collected=10, copay_method="cash")])

    without = await day.close()
    closed = await day.close(note="2.50 still owed")
    again = await day.close(note="again")

    assert without.status_code == 400
    assert without.json()["details"][0]["field"] == "note"
    assert closed.json()["closed"]["note"] == "2.50 still owed"
    assert closed.json()["closed"]["money"]["collected"] == 10.0
    assert again.status_code == 409


async def test_what_is_reported_after_closing_shows_and_the_closed_figures_stay(day):
    first, late = await day.bags([{"copay_amount": 5}, {"copay_amount": 7}])
    await day.report([delivered(first, copay_collected=5, copay_method="cash")])
    assert (await day.close()).status_code == 200

    await day.report([delivered(late, copay_collected=7, copay_method="cash")])

    shown = await day.get(f"day?site=lakeside&day={DAY}")
    assert shown["changed_since"]
    assert shown["money"]["collected"] == 12.0
    assert shown["closed"]["money"]["collected"] == 5.0


async def test_closing_is_an_event_of_sums_without_the_note(day):
    [bag] = await day.bags([{"copay_amount": 12.5}])
    await day.report([delivered(bag, copay_collected=10, copay_method="cash")])

    assert (await day.close(note="Maria R. pays on Monday")).status_code == 200

    running = day.gateway.gateway
    async with running.database.read() as connection:
        [event] = await running.events.page(
            connection, day.gateway.caller(), limit=5, event_type="day.closed"
        )
    assert event.site == "lakeside"
    assert event.data == {
        "day": DAY,
        "delivered": 1,
        "due": Decimal("12.5"),
        "collected": Decimal(10),
        "differences": 1,
    }


async def test_a_closed_day_is_opened_again_and_both_are_audited(day):
    assert (await day.close()).status_code == 200
    path = f"/api/reports/day/close?day={DAY}&site=lakeside"

    opened = await day.gateway.request("DELETE", path, day.key)
    twice = await day.gateway.request("DELETE", path, day.key)

    assert (opened.status_code, twice.status_code) == (204, 404)
    trail = (await day.gateway.post("/api/audit/search", day.key, {})).json()["rows"]
    actions = [each["action"] for each in trail]
    assert actions.count("reports.day_closed") == actions.count("reports.day_reopened") == 1


async def test_today_is_not_closed_while_a_driver_has_a_package(day):
    [bag] = await day.bags([{"copay_amount": 5}])
    await day.report([{"package_id": bag, "event": "delivery.picked_up", "driver_id": "drv_1"}])

    refused = await day.close(day="2026-11-02")

    assert refused.status_code == 409
    assert "1 packages are with drivers" in refused.json()["error"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("day=2026-11-01", "site"), ("site=nowhere", "site"), ("site=lakeside&day=2030-01-01", "day")],
)
async def test_a_day_that_cannot_be_is_refused(day, query, field):
    answer = await day.gateway.get(f"/api/reports/day?{query}", day.key)

    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == field


async def test_a_site_sees_its_own_day_only(day):
    key = await day.gateway.issue_key(site="harbour")

    answer = await day.gateway.get(f"/api/reports/day?site=lakeside&day={DAY}", key)

    assert answer.status_code == 400
