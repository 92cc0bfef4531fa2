"""``gateway packages`` and ``gateway destinations``."""

from datetime import date
from decimal import Decimal

import pytest

from gateway.model.bag import Prescription


def test_packages_are_listed_newest_first_and_each_is_audited(read, stock):
    first, _ = stock.order(site="main", rx_number="RX-1")
    second, _ = stock.order(site="north", patient_name="Bo Lind")

    masked = read("packages", "list")
    assert [each["patient_name"] for each in masked] == ["Bo L.", "Ana S."]
    assert stock.audited("package.viewed") == []  # a masked list is one row, not one a package
    assert [subject for _, subject, _ in stock.audited("package.viewed_masked")] == ["packages"]
    listed = read("packages", "list", "--reveal")

    assert [each["id"] for each in listed] == [second, first]
    assert (listed[0]["patient_name"], listed[0]["site"]) == ("Bo Lind", "north")
    assert {subject for _, subject, _ in stock.audited("package.viewed")} == {first, second}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--site", "main"], 1),
        (["--source", "json_api"], 2),
        (["--source", "csv"], 0),
        (["--status", "created"], 2),
        (["--status", "completed"], 0),
        (["--since", "2026-01-01T00:00:02Z"], 1),
        (["--limit", "1"], 1),
        (["--test"], 0),
        (["--account", "acme"], 0),
    ],
)
def test_packages_are_listed_by_what_is_asked(read, stock, words, count):
    stock.order(site="main")
    stock.order(site="north")

    assert len(read("packages", "list", *words)) == count


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--delivery-day", "2026-04-20"], 1),
        (["--delivery-day", "2026-04-21"], 0),
        (["--priority", "stat"], 1),
        (["--driver", "drv_b12c"], 0),
        (["--flag", "refrigerated"], 1),
        (["--flag", "signature"], 0),
    ],
)
def test_packages_are_listed_by_their_clear_columns(read, stock, words, count):
    cold = (Prescription(rx_number="RX-1"), Prescription(rx_number="RX-2", refrigerated=True))
    day = date(2026, 4, 20)
    stock.order(site="main", prescriptions=cold, delivery_date=day, priority="stat")
    stock.order(site="main")

    assert len(read("packages", "list", *words)) == count


def test_each_number_of_a_bag_finds_it(read, stock):
    bag = (Prescription(rx_number="RX-1"), Prescription(rx_number="RX-2", fill_number=1))
    package_id, _ = stock.order(site="main", prescriptions=bag)

    [found] = read("packages", "search", "--rx-number", "RX-2", "--reveal")

    assert found["id"] == package_id
    assert [each["rx_number"] for each in found["prescriptions"]] == ["RX-1", "RX-2"]


def test_a_package_is_shown_with_its_timeline(read, stock):
    package_id, event_id = stock.order(site="main", copay_amount=Decimal("12.50"))

    shown = read("packages", "show", package_id)

    assert (shown["id"], shown["copay_amount"]) == (package_id, "12.50")
    assert [(each["event"], each["id"]) for each in shown["events"]] == [
        ("package.created", event_id)
    ]


@pytest.mark.parametrize("words", [["show", "pkg_0"], ["show", "pkg_0", "--test"]])
def test_a_package_that_is_not_there_is_an_error(run, words):
    run("migrate")
    result = run("packages", *words)

    assert (result.exit_code, "gateway packages list" in result.stderr) == (1, True)


def test_packages_are_found_by_one_exact_value(read, stock):
    found, _ = stock.order(site="main", rx_number="RX-1", external_patient_id="P-1")
    stock.order(site="main", rx_number="RX-12", external_patient_id="P-2")

    by_number = read("packages", "search", "--rx-number", "RX-1")
    by_patient = read("packages", "search", "--external-patient-id", "P-1")

    assert [each["id"] for each in by_number] == [each["id"] for each in by_patient] == [found]
    assert read("packages", "search", "--rx-number", "RX") == []


@pytest.mark.parametrize("words", [[], ["--rx-number", "1", "--external-order-id", "2"]])
def test_a_search_takes_exactly_one_value(run, words):
    result = run("packages", "search", *words)

    assert (result.exit_code, "exactly one of --rx-number" in result.stderr) == (2, True)


def test_destinations_of_every_sink_are_listed_without_their_settings(read, stock):
    first = stock.endpoint(settings={"secret": "whsec_1"})
    second = stock.endpoint(sink="acme", name="Store", ordered=True)

    listed = read("destinations", "list")

    assert [(each["id"], each["sink"]) for each in listed] == [
        (first, "webhooks"),
        (second, "acme"),
    ]
    assert "whsec_1" not in str(listed)
    assert [each["id"] for each in read("destinations", "list", "--sink", "acme")] == [second]
    assert read("destinations", "show", second)["ordered"] is True


def test_a_destination_that_is_not_there_is_an_error(run):
    run("migrate")
    result = run("destinations", "show", "dst_0")

    assert (result.exit_code, "gateway destinations list" in result.stderr) == (1, True)
