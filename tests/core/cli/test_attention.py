"""``gateway attention``: what needs a person, from the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from gateway.clock import SystemClock, to_epoch_ms
from gateway.plugin import Destination, new_id
from gateway.storage.schema import destinations


@pytest.fixture
def failing(stock):
    """An endpoint that has failed for an hour."""

    async def add(gateway):
        now = SystemClock().now()
        endpoint = Destination(
            id=new_id("dst", now),
            account_id="default",
            mode="live",
            sink="acme",
            name="board",
            events=("*",),
            settings={},
            created_at=now,
        )
        async with gateway.database.begin() as connection:
            await gateway.destinations.add(connection, endpoint)
            await connection.execute(
                update(destinations).values(
                    failing_since_ms=to_epoch_ms(now - timedelta(hours=1)),
                    held_until_ms=to_epoch_ms(datetime(2026, 1, 1, 12, tzinfo=UTC)),
                )
            )
        return endpoint.id

    return stock.do(add)


def test_it_says_that_nothing_needs_a_person(run, stock):
    stock.order(site="main")
    assert run("attention").stdout == "Nothing needs a person.\n"


def test_it_lists_each_item_with_the_command_that_shows_more(run, failing):
    shown = run("attention").stdout

    assert "The endpoint board fails" in shown
    assert f"gateway deliveries list --endpoint {failing}" in shown


def test_as_json_it_is_a_list(run, failing):
    items = json.loads(run("attention", "--json").stdout)

    found = {(each["kind"], each["subject"]) for each in items}
    assert ("endpoint_failing", failing) in found
    assert {kind for kind, _ in found} == {"endpoint_failing", "sink_missing"}
    assert {each["kind"]: each["details"] for each in items} == {
        "endpoint_failing": ["next attempt at 2026-01-01T12:00:00Z"],
        "sink_missing": [],
    }
