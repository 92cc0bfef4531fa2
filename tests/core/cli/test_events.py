"""``gateway events …``."""

import json
import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal

import pytest
from core.cli.stock import ACTOR
from waiting import PATIENCE_SECONDS

from gateway.cli.events import Follower
from gateway.clock import to_epoch_ms
from gateway.model.account import Caller
from gateway.model.event import EventDraft
from gateway.model.ids import new_ids

LIVE = Caller("default", "live", "test")
# As a shell would start it: what is started in the background may have Ctrl-C ignored.
PROGRAM = """
import signal
from gateway.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main(prog_name="gateway")
"""


def draft(gateway, event_id=None, event_type="delivery.assigned", subject="pkg_1"):
    now = gateway.clock.now()
    return EventDraft(
        id=event_id or new_ids("evt", to_epoch_ms(now), 1)[0],
        type=event_type,
        account_id="default",
        mode="live",
        subject=subject,
        data={"package_id": subject},
        occurred_at=now,
        actor="test",
    )


def test_an_event_is_shown_with_its_data(read, stock):
    package_id, event_id = stock.order(
        site="main", rx_number="RX-1", external_patient_id="P-9", copay_amount=Decimal("12.50")
    )

    masked = read("events", "show", event_id)["data"]
    assert (masked["rx_number"], masked["external_patient_id"]) == ("…", None)
    assert masked["copay_amount"] == 12.50
    assert read("events", "show", event_id, "--reveal") == {
        "id": event_id,
        "event": "package.created",
        "account": "default",
        "mode": "live",
        "site": "main",
        "subject": package_id,
        "occurred_at": "2026-01-01T00:00:01Z",
        "recorded_at": "2026-01-01T00:00:01Z",
        "actor": "key_1",
        "late": False,
        "not_sent": "the account had no destination",
        "data": {
            "package_id": package_id,
            "external_patient_id": "P-9",
            "rx_number": "RX-1",
            "external_order_id": None,
            "site": "main",
            "source": "json_api",
            "priority": "routine",
            "requires_signature": False,
            "copay_amount": 12.50,
            "delivery_date": None,
        },
    }


def test_a_person_sees_a_line_for_each_fact(run, stock):
    package_id, event_id = stock.order(site="main", rx_number="RX-1")

    lines = run("events", "show", event_id).stdout.splitlines()

    assert lines[0] == f"id                        {event_id}"
    assert "late                      no" in lines
    assert f"data.package_id           {package_id}" in lines
    assert "data.external_patient_id  -" in lines


def test_an_event_that_is_not_there_fails(run, stock):
    _, live_id = stock.order(site="main")

    for words in (("evt_1",), (live_id, "--test"), (live_id, "--account", "acme")):
        result = run("events", "show", *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "gateway: There is no such event here: gateway events list shows the ids; "
            "--test and --account look elsewhere.\n"
        )


def test_events_are_listed_newest_first(read, run, stock):
    first, second, third = (stock.order(site="main") for _ in range(3))

    assert [row["id"] for row in read("events", "list")] == [third[1], second[1], first[1]]
    assert [row["id"] for row in read("events", "list", "--limit", "1")] == [third[1]]
    assert run("events", "list", "--limit", "1").stdout.splitlines() == [
        "occurred at           event            site  subject" + " " * 31 + "id",
        f"2026-01-01T00:00:03Z  package.created  main  {third[0]}  {third[1]}",
    ]


def test_a_list_can_be_narrowed_down(read, stock):
    _, main = stock.order(site="main")
    _, north = stock.order(site="north")
    _, test = stock.order(site="main", mode="test")
    _, acme = stock.order(account="acme")
    stock.do(lambda gateway: gateway.publisher.publish([draft(gateway, "evt_9")]))

    def listed(*words):
        return [row["id"] for row in read("events", "list", *words)]

    assert listed() == ["evt_9", north, main]
    assert listed("--site", "north") == [north]
    assert listed("--type", "delivery.assigned") == ["evt_9"]
    assert listed("--test") == [test]
    assert listed("--account", "acme") == [acme]


def test_an_empty_list_says_so(run, read):
    run("migrate")

    assert run("events", "list").stdout == "Nothing to show.\n"
    assert read("events", "list") == []


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_limit_out_of_bounds_is_wrong_usage(run, limit):
    assert run("events", "list", "--limit", limit).exit_code == 2


def test_each_event_shown_is_recorded_in_the_audit_trail(read, stock):
    _, first = stock.order(site="main", external_patient_id="P-9")
    _, second = stock.order(site="main")
    read("events", "list")
    read("events", "show", first)

    async def index(gateway):
        return gateway.packages.index("external_patient_id", "default", "P-9")

    patient = stock.do(index)
    assert stock.audited("event.viewed") == [
        (ACTOR, second, None),
        (ACTOR, first, patient),
        (ACTOR, first, patient),
    ]


def followed(gateway, event_type=None, **options):
    return Follower(gateway, LIVE, event_type, **options)


async def record(gateway, event_id, event_type="delivery.assigned"):
    await gateway.publisher.publish([draft(gateway, event_id, event_type)])


def ids(found):
    return [event.id for event in found]


def at(milliseconds, last):
    return f"evt_{milliseconds:012x}7{last:019x}"


def test_what_was_there_before_is_no_news(stock):
    stock.order(site="main")

    async def follow(gateway):
        follower = followed(gateway)
        await follower.start()
        await record(gateway, at(1_800_000_000_000, 1))
        return await follower.news(), await follower.news()

    news, again = stock.do(follow)
    assert ids(news) == [at(1_800_000_000_000, 1)]
    assert again == []


def test_an_event_committed_behind_later_ones_is_not_missed(stock):
    async def follow(gateway):
        follower = followed(gateway)
        await follower.start()
        await record(gateway, at(1_800_000_005_000, 1))
        first = await follower.news()
        await record(gateway, at(1_800_000_001_000, 2))
        return ids(first), ids(await follower.news()), ids(await follower.news())

    assert stock.do(follow) == ([at(1_800_000_005_000, 1)], [at(1_800_000_001_000, 2)], [])


def test_more_events_than_a_page_are_all_found(stock):
    expected = [at(1_800_000_000_000, number) for number in range(5)]

    async def follow(gateway):
        follower = followed(gateway, page=2)
        await follower.start()
        for event_id in expected:
            await record(gateway, event_id)
        return ids(await follower.news())

    assert stock.do(follow) == expected


def test_only_events_of_the_type_are_followed(stock):
    async def follow(gateway):
        follower = followed(gateway, "delivery.arrived")
        await follower.start()
        await record(gateway, at(1_800_000_000_000, 1))
        await record(gateway, at(1_800_000_000_000, 2), "delivery.arrived")
        return ids(await follower.news())

    assert stock.do(follow) == [at(1_800_000_000_000, 2)]


@pytest.fixture
def tail(config, stock):
    """Start ``gateway events tail``; it is waiting for events when this returns."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "events", "tail", "--config", str(config), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        patience = threading.Timer(PATIENCE_SECONDS, process.kill)
        patience.start()
        started.append((process, patience))
        assert process.stderr.readline() == "Waiting for events; Ctrl-C ends.\n"
        return process

    yield start
    for process, patience in started:
        patience.cancel()
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way there")
def test_tail_prints_events_as_they_come_until_ctrl_c(tail, stock):
    stock.order(site="main")
    process = tail()

    package_id, event_id = stock.order(site="main")
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.communicate()

    assert line == f"2026-01-01T00:00:02Z  package.created            {package_id}  {event_id}\n"
    assert (rest, process.returncode) == (("", ""), 0)
    assert stock.audited("event.viewed") == [(ACTOR, event_id, None)]


@pytest.mark.slow
def test_tail_ends_after_the_count_it_was_given(run, tail, stock):
    run("migrate")
    process = tail("--json", "--count", "2")

    expected = [stock.order(site="main")[1] for _ in range(3)]
    out, err = process.communicate()

    lines = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, "")
    assert [line["id"] for line in lines] == expected[:2]
    assert lines[0]["data"]["source"] == "json_api"
