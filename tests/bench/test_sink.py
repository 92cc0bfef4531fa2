"""What the bench's sink says of what reached it, and what its load generator sends there."""

import json
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from orders import Requests  # noqa: E402 - the bench is no package: its modules stand on the path
from sink import Tally  # noqa: E402

sys.path.remove(str(BENCH))


def webhook(path, package):
    body = json.dumps({"package_id": f"pkg_{package:032d}"}, separators=(",", ":"))
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_what_one_name_was_told_is_kept_apart_from_what_another_was():
    tally = Tally()
    for path, package in (("/seen/north", 1), ("/seen/south", 1), ("/seen/north", 2)):
        tally.take(webhook(path, package))

    assert {name: len(seen.packages) for name, seen in tally.seen.items()} == {
        "north": 2,
        "south": 1,
    }
    assert (tally.count, tally.different) == (3, 3)


def test_what_arrives_twice_is_counted_as_such_and_not_as_more():
    tally = Tally()
    for package in (1, 2, 1, 1):
        tally.take(webhook("/seen/north", package))

    assert tally.seen["north"].report()["packages"] == [f"pkg_{n:032d}" for n in (1, 2)]
    assert tally.seen["north"].again == 2
    assert (tally.count, tally.different) == (4, 2)


def test_a_reset_forgets_what_was_seen():
    tally = Tally()
    tally.take(webhook("/seen/north", 1))
    tally.reset()

    assert (tally.seen, tally.count, tally.different) == ({}, 0, 0)


def test_orders_name_the_sites_in_turn_and_no_two_are_the_same():
    requests = Requests("127.0.0.1", ["key"], size=4, first=7, sites=["north", "south"])
    orders = [
        order
        for _ in range(2)
        for order in json.loads(requests.make(0).partition(b"\r\n\r\n")[2])["orders"]
    ]

    assert [order["site"] for order in orders] == ["north", "south"] * 4
    assert [order["external_order_id"] for order in orders] == [
        f"ORD-{number:08d}" for number in range(7, 15)
    ]
