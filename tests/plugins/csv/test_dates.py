"""Dates: read by their column, never by their cell."""

import datetime as dt

import pytest
from gateway_csv.columns.cells import Unreadable
from gateway_csv.columns.dates import Evidence, date_of
from plugins.csv.files import PLUGINS, Sender

DAY = dt.date(2026, 4, 20)
HEADER = "patient_name,patient_address,delivery_date"


def judged(*cells):
    evidence = Evidence()
    for each in cells:
        evidence = evidence.and_of(each)
    return evidence


@pytest.mark.parametrize(
    "cell",
    [
        "2026-04-20",
        "2026/4/20",
        "2026.04.20",
        "20260420",
        "20 Apr 2026",
        "20-Apr-26",
        "Apr 20, 2026",
        "April 20 2026",
        "20th April 2026",
        "Mon 20 Apr 2026",
        "46132",
        "46132.0",
        "2026-04-20T09:30:00Z",
        "2026-04-20 9:30 PM",
        "2026-04-20T09:30:00.5+02:00",
        DAY,
        dt.datetime(2026, 4, 20, 9),  # noqa: DTZ001
        46132,
        46132.0,
        46132.4,
    ],
)
def test_a_date_that_can_be_read_one_way_is_read_that_way(cell):
    assert date_of(cell, None) == DAY


@pytest.mark.parametrize(
    ("cell", "order"),
    [
        ("20/04/2026", "day-first"),
        ("20.4.26", "day-first"),
        ("20-04-2026", "day-first"),
        ("04/20/2026", "month-first"),
        ("4-20-26", "month-first"),
        ("04 20 2026", "month-first"),
    ],
)
def test_a_date_of_numbers_is_read_as_its_column_is(cell, order):
    assert date_of(cell, order) == DAY


@pytest.mark.parametrize(
    "cell",
    [
        "soon",
        "31/31/2026",
        "2026-02-30",
        "1850-01-01",
        "99999",
        "04/2026",
        "Foo 20 2026",
        "20 Apr 20 2026",
        "20/04-2026",
        "2026-13-01",
        dt.date(1999, 1, 1),
        "April 2026",
    ],
)
def test_what_is_no_date_is_refused(cell):
    with pytest.raises(Unreadable) as refused:
        date_of(cell, "day-first")

    assert refused.value.expected == "a date such as 2026-04-20"


def test_a_date_that_can_be_read_two_ways_is_refused_where_nothing_decides():
    with pytest.raises(Unreadable) as refused:
        date_of("03/04/2026", None)

    assert refused.value.expected == "a date that can be read in one way only"
    assert date_of("04/04/2026", None) == dt.date(2026, 4, 4)


@pytest.mark.parametrize(
    ("cells", "country", "order"),
    [
        (("03/04/2026", "25/04/2026"), "US", "day-first"),
        (("03/04/2026", "04/25/2026"), "GB", "month-first"),
        (("03/04/2026",), "US", "month-first"),
        (("03/04/2026",), "GB", "day-first"),
        (("03/04/2026",), "CA", None),
        (("25/04/2026", "04/25/2026"), "US", None),
        (("31/31/2026", 46132.0, None, "x"), "US", "month-first"),
    ],
)
def test_a_column_is_judged_by_all_its_cells_and_then_by_its_country(cells, country, order):
    assert judged(*cells).order("auto", country) == order


def test_what_was_said_of_the_file_counts_for_more():
    assert judged("25/04/2026").order("month-first", "US") == "month-first"
    assert judged("25/04/2026").was_assumed("auto") is False
    assert judged("03/04/2026").was_assumed("auto") is True
    assert judged("03/04/2026").was_assumed("day-first") is False


def test_a_cell_too_long_for_a_date_is_refused_at_once():
    assert judged("T" * 10_000 + "1") == Evidence()
    with pytest.raises(Unreadable):
        date_of("Apr" + " " * 9_000 + "x", None)


async def test_one_date_decides_for_the_others_of_its_column(sender):
    await sender.send(f"{HEADER}\nAna,1 Elm,03/04/2026\nBo,2 Elm,25/04/2026\n")

    assert [each["delivery_date"] for each in await sender.packages()] == [
        "2026-04-03",
        "2026-04-25",
    ]


async def test_a_column_that_contradicts_itself_is_told_and_its_dates_refused(sender):
    report = await sender.send(
        f"{HEADER}\nAna,1 Elm,04/25/2026\nBo,2 Elm,25/04/2026\nCy,3 Elm,2026-04-25\n"
    )

    assert report["created"] == 1
    assert [each["row"] for each in report["errors"]] == [2, 3]
    assert report["warnings"][0]["message"].startswith("some dates can only be day-first")


async def test_where_nothing_decides_the_country_is_taken_and_told(sender):
    report = await sender.send(f"{HEADER}\nAna,1 Elm,03/04/2026\n")

    [package] = await sender.packages()
    assert package["delivery_date"] == "2026-03-04"
    assert "month-first was taken" in report["warnings"][0]["message"]


async def test_in_canada_a_date_that_nothing_decides_is_refused_until_it_is_said(harness):
    site = '[[sites]]\ncode = "main"\nname = "Lakeside"\ncountry = "CA"\n'
    file = f"{HEADER}\nAna,1 Elm,03/04/2026\n"
    async with harness(PLUGINS + site) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        refused = await sender.send(file)
        await sender.send(file, "?dates=day-first")
        [package] = await sender.packages()

    assert [each["expected"] for each in refused["errors"]] == [
        "a date that can be read in one way only"
    ]
    assert package["delivery_date"] == "2026-04-03"
