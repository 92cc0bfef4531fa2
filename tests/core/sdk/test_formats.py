"""Times, numbers and money in the reader's language and the site's zone."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.sdk.formats import Formats
from gateway.sdk.page_request import Query, page_url

NOW = datetime(2026, 11, 24, 15, 14, 7, tzinfo=UTC)  # Tuesday, 10:14 in Toronto
THIN, SPACE = "\u202f", "\u00a0"


def formats(language="en", zone="America/Toronto"):
    return Formats(language, zone, lambda: NOW)


@pytest.mark.parametrize(
    ("moment", "english", "french", "spanish"),
    [
        (NOW, "10:14", "10:14", "10:14"),
        (datetime(2026, 11, 24, 5, 0, tzinfo=UTC), "00:00", "00:00", "00:00"),
        (datetime(2026, 11, 24, 4, 59, tzinfo=UTC), "Mon 23:59", "lun. 23:59", "lun 23:59"),
        (datetime(2026, 11, 18, 12, 0, tzinfo=UTC), "Wed 07:00", "mer. 07:00", "mié 07:00"),
        (datetime(2026, 11, 17, 12, 0, tzinfo=UTC), "17 Nov 2026", "17 nov. 2026", "17 nov 2026"),
        (datetime(2026, 8, 12, 12, 0, tzinfo=UTC), "12 Aug 2026", "12 août 2026", "12 ago 2026"),
        (datetime(2026, 11, 26, 12, 0, tzinfo=UTC), "26 Nov 2026", "26 nov. 2026", "26 nov 2026"),
    ],
)
def test_a_moment_is_as_short_as_it_is_clear(moment, english, french, spanish):
    assert formats().time(moment) == english
    assert formats("fr").time(moment) == french
    assert formats("es").time(moment) == spanish


def test_the_hour_that_comes_twice_is_the_sites():
    twice = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)

    assert [formats().clock(each) for each in twice] == ["01:30", "01:30"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
        (11_400, "3 h 10 min"), (86_399, "23 h 59 min"), (86_400, "1 day"), (200_000, "2 days"),
    ],
)  # fmt: skip
def test_a_length_of_time(seconds, text):
    assert formats().duration(seconds) == text


def test_a_day_in_full_is_each_languages():
    assert formats().long_date(NOW) == "Tuesday 24 November"
    assert formats("fr").long_date(NOW) == "mardi 24 novembre"
    assert formats("es").long_date(NOW) == "martes 24 de noviembre"
    assert formats("es").duration(200_000) == "2 días"


def test_numbers_money_and_shares():
    assert formats().number(1482) == "1,482"
    assert formats("fr").number(1_234_567) == f"1{THIN}234{THIN}567"
    assert formats().money(Decimal("12.5")) == "$12.50"
    assert formats("fr").money(Decimal("1012.505"), "CAD") == f"1{THIN}012,51{SPACE}$"
    assert formats("es").number(1_234_567) == "1,234,567"
    assert formats("es").money(Decimal("1012.505"), "USD") == "$1,012.51"
    assert formats().percent(0.48) == "48%"
    assert formats("es").percent(0.999, 1) == "99.9%"
    assert formats("fr").percent(0.48) == f"48{SPACE}%"


def test_a_time_tag_names_the_zone_and_escapes():
    tag = formats(zone="America/Toronto").time_tag(NOW)

    assert tag == (
        '<time datetime="2026-11-24T15:14:07Z" '
        'title="24 Nov 2026, 10:14:07 (America/Toronto)">10:14</time>'
    )


@pytest.mark.parametrize(
    ("path", "mode", "query", "url"),
    [
        ("", "live", {}, "/dashboard"),
        ("", "test", {"site": "main"}, "/dashboard/test?site=main"),
        ("packages/pkg_1", "live", {"site": None}, "/dashboard/packages/pkg_1"),
        ("packages?a=1#top", "test", {"site": "x y"}, "/dashboard/test/packages?a=1&site=x+y#top"),
    ],
)
def test_the_address_of_a_page(path, mode, query, url):
    assert page_url(path, mode, query) == url


def test_the_fields_of_a_form():
    form = Query([("a", "1"), ("b", ""), ("a", "2")])

    assert (form.get("a"), form.all("a"), form.get("none", "x"), form["b"]) == (
        "2", ["1", "2"], "x", ""
    )  # fmt: skip
    assert "b" in form
    assert list(form) == ["a", "b"]
    assert form.without(["a"]).pairs() == (("b", ""),)
