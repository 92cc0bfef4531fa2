"""``gateway seal rotate --index`` and ``reindex``; ``gateway accounts usage``."""

import csv
import io

import pytest

PATIENT = {"patient_phone": "+13055551234", "rx_number": "RX-1", "site": "main"}


def test_after_a_new_index_key_searches_work_again_once_packages_are_reindexed(read, stock):
    package_id, _ = stock.order(**PATIENT)
    read("packages", "show", package_id, "--reveal")
    found = ("packages", "search", "--rx-number", "RX-1")
    assert [each["id"] for each in read(*found)] == [package_id]

    read("seal", "rotate", "--index")

    assert read(*found) == []
    later, _ = stock.order(**(PATIENT | {"rx_number": "RX-2"}))
    done = read("seal", "reindex")
    assert (done["changed"], done["seen"]) == (1, 2)
    assert [each["id"] for each in read(*found)] == [package_id]
    assert [each["id"] for each in read("packages", "search", "--rx-number", "RX-2")] == [later]
    assert read("seal", "reindex")["changed"] == 0
    # What was recorded under the retired key is still found, by the reports alone.
    rows = read("audit", "patient", "--rx-number", "RX-1")
    assert (rows[0]["action"], rows[0]["subject"]) == ("package.viewed", package_id)
    assert read("audit", "verify")["ok"] is True


def test_an_index_key_that_a_setting_holds_is_rotated_by_hand(run, config, stock):
    stock.order(**PATIENT)
    key = (config.parent / "data" / "master.key").read_text()
    config.write_text(f'{config.read_text()}[security]\nmaster_key = """{key}"""\n')

    refused = run("seal", "rotate", "--index")

    assert refused.exit_code == 1
    assert "[security] master_key" in refused.stderr


@pytest.fixture
def on_a_plan(config):
    plan = '[plans.basic]\npackages_per_month = 5\npeople = 2\n[accounts.default]\nplan = "basic"\n'
    config.write_text(config.read_text() + plan)


def test_the_usage_of_a_plan_is_a_table_and_a_csv_file(on_a_plan, run, read, stock):
    stock.order(site="main")

    packages, people = read("accounts", "usage")
    assert (packages["account"], packages["plan"], packages["limit_name"], packages["used"]) == (
        "default",
        "basic",
        "packages_per_month",
        0,  # the order is of January, the clock of the command is today's
    )
    assert (people["limit_name"], people["used"], people["limit"]) == ("people", 0, 2)
    printed = list(csv.DictReader(io.StringIO(run("accounts", "usage", "--csv").stdout)))
    assert [each["limit_name"] for each in printed] == ["packages_per_month", "people"]
    january = read("accounts", "usage", "--month", "2026-01")
    assert [each["used"] for each in january] == [1, 0]
    assert run("accounts", "usage", "--month", "2020-13").exit_code == 2
