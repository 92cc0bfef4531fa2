"""Plans: what an account may use, how much of it, and that exactly so much is accepted."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from core.gateways import LIVE, TEST, opened, order, packages, submission
from core.storage.rows import destination
from processes import TOML as PROCESS
from processes import GatewayProcess
from waiting import PATIENCE_SECONDS

from gateway.auth.plans import Plans
from gateway.clock import SteppingClock
from gateway.errors import NotOnPlan, PlanLimitReached, SettingsError
from gateway.model.plan import crossed, next_period
from gateway.settings import parse_settings

BASIC = """
[plans.basic]
features = ["webhooks"]
packages_per_month = 3
endpoints = 1
[accounts.default]
plan = "basic"
"""
APRIL = datetime(2026, 4, 30, 23, 59, tzinfo=UTC)


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with opened(database_url, tmp_path, toml=BASIC, clock=SteppingClock(APRIL)) as gateway:
        yield gateway


async def used(gateway):
    async with gateway.database.read() as connection:
        shown = await gateway.plans.usage(connection, "default")
    return {each.limit_name: each.used for each in shown.limits}


async def statuses(gateway, *orders, **options):
    answer = await gateway.intake.accept(submission(*orders, **options))
    return [each.status for each in answer.results]


async def test_a_batch_is_judged_order_by_order(gateway):
    assert await statuses(gateway, *[order()] * 2) == ["created"] * 2

    answer = await gateway.intake.accept(submission(*[order()] * 3))

    assert [each.status for each in answer.results] == ["created", "rejected", "rejected"]
    assert not answer.is_beyond_plan
    assert (answer.plan.used, answer.plan.limit) == (3, 3)
    assert answer.results[1].errors[0].message == (
        "The plan's packages_per_month is used up until 2026-05-01T00:00:00Z (3 of 3): "
        "ask for a larger plan (GET /api/plan shows the usage)."
    )
    assert len(await packages(gateway)) == 3


async def test_test_data_duplicates_and_refused_orders_never_count(gateway):
    first = order(external_order_id="SO-1")
    assert await statuses(gateway, first, first) == ["created", "duplicate"]
    assert await statuses(gateway, *[order()] * 9, caller=TEST) == ["created"] * 9
    assert await statuses(gateway, order(patient_name="")) == ["rejected"]

    assert (await used(gateway))["packages_per_month"] == 1
    assert await statuses(gateway, *[order()] * 2) == ["created"] * 2
    assert await statuses(gateway, first) == ["duplicate"]  # also without room


async def test_a_new_month_begins_at_nothing(gateway):
    await statuses(gateway, *[order()] * 3)
    assert await statuses(gateway, order()) == ["rejected"]

    gateway.clock.source.step(60)

    assert await statuses(gateway, order()) == ["created"]
    assert (await used(gateway))["packages_per_month"] == 1


async def test_a_refusal_is_not_kept_under_the_idempotency_key(gateway):
    await statuses(gateway, *[order()] * 3)
    assert await statuses(gateway, order(), key="k") == ["rejected"]

    gateway.clock.source.step(60)
    again = await gateway.intake.accept(submission(order(), key="k"))

    assert ([each.status for each in again.results], again.replayed) == (["created"], False)


async def test_what_a_failed_transaction_took_is_not_counted(gateway, monkeypatch):
    async def fail(*_):
        raise ValueError

    with monkeypatch.context() as patched:
        patched.setattr(gateway.publisher, "record", fail)
        with pytest.raises(ValueError, match=r"^$"):
            await statuses(gateway, order())

    assert (await used(gateway))["packages_per_month"] == 0


async def test_overage_is_accepted_and_counted_where_the_plan_allows_it(database_url, tmp_path):
    toml = BASIC.replace("endpoints = 1", 'overage = "allow"')
    async with opened(database_url, tmp_path, toml=toml) as gateway:
        assert await statuses(gateway, *[order()] * 5) == ["created"] * 5
        assert (await used(gateway))["packages_per_month"] == 5


async def test_an_account_without_a_plan_has_no_limit_and_is_not_counted(gateway):
    other = LIVE.__class__("other", "live", "key_9")

    assert await statuses(gateway, *[order()] * 9, caller=other) == ["created"] * 9

    async with gateway.database.read() as connection:
        assert (await gateway.plans.usage(connection, "other")).plan is None
    gateway.plans.need("other", "csv")


async def test_a_smaller_plan_keeps_what_exists_and_refuses_new(database_url, tmp_path):
    toml = BASIC.replace("= 3", "= 9")
    async with opened(database_url, tmp_path, toml=toml) as gateway:
        await statuses(gateway, *[order()] * 5)
    async with opened(database_url, tmp_path, toml=BASIC) as gateway:
        assert await statuses(gateway, order()) == ["rejected"]
        assert len(await packages(gateway)) == 5


async def test_events_say_that_a_plan_is_nearly_and_wholly_used(gateway):
    await statuses(gateway, *[order()] * 2)
    await statuses(gateway, *[order()] * 2)
    await statuses(gateway, order())

    async with gateway.database.read() as connection:
        found = await gateway.events.page(connection, LIVE, limit=9, event_type="plan.usage")
    found = sorted(found, key=lambda each: each.data["percent"])
    assert [each.data["percent"] for each in found] == [80, 100]
    assert dict(found[1].data) == {
        "plan": "basic",
        "limit_name": "packages_per_month",
        "percent": 100,
        "limit": 3,
        "used": 3,
        "resets_at": "2026-05-01T00:00:00Z",
    }


@pytest.mark.slow
async def test_of_two_thousand_at_once_exactly_the_hundred_left_are_accepted(
    database_url, tmp_path
):
    toml = BASIC.replace("= 3", "= 100")
    async with opened(database_url, tmp_path, toml=toml) as gateway:
        answers = await asyncio.gather(
            *(gateway.intake.accept(submission(order())) for _ in range(2000))
        )
        made = [each.results[0].status for each in answers]
        assert (made.count("created"), made.count("rejected")) == (100, 1900)
        assert len(await packages(gateway)) == 100
        assert (await used(gateway))["packages_per_month"] == 100


async def _posted(http, url, place):
    """Post an order until it is answered; a connection may be closed while it is idle."""
    body = {"orders": [{"patient_name": "P", "patient_address": "1 Ocean Dr"}]}
    while True:
        try:
            return await http.post(url, json=body, headers={"Idempotency-Key": f"k{place}"})
        except httpx.TransportError:
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_two_processes_accept_exactly_what_is_left_between_them(
    tmp_path, postgres_url, redis_url
):
    toml = (
        PROCESS.replace("port = 0", f'port = 0\ndata_dir = "{tmp_path / "data"}"')
        + BASIC.replace("= 3", "= 100")
        + f'[database]\nurl = "{postgres_url}"\n[redis]\nurl = "{redis_url}"\n'
    )
    (tmp_path / "other").mkdir()
    async with (
        GatewayProcess(tmp_path, toml) as one,
        GatewayProcess(tmp_path / "other", toml) as two,
    ):
        key = (await one.json("keys", "create", "--name", "test"))["key"]
        waits = httpx.Timeout(PATIENCE_SECONDS, pool=None)
        limits = httpx.Limits(max_connections=100)
        options = {"headers": {"X-API-Key": key}, "timeout": waits, "limits": limits}
        async with httpx.AsyncClient(**options) as http:
            answers = await asyncio.gather(
                *(
                    _posted(http, f"{(one, two)[place % 2].url}/api/webhook/orders", place)
                    for place in range(300)
                )
            )
            plan = (await http.get(f"{one.url}/api/plan")).json()
        counted = [each.status_code for each in answers]
        refused = next(each.json() for each in answers if each.status_code == 402)
        listed = await one.json("packages", "list", "--limit", "1000")

    assert (counted.count(200), counted.count(402)) == (100, 200)
    assert len(listed) == 100
    assert plan["limits"][0]["used"] == 100
    assert (refused["code"], refused["limit"], refused["used"]) == ("plan_limit_reached", 100, 100)
    assert refused["resets_at"].endswith("-01T00:00:00Z")


def test_a_feature_that_is_not_on_the_plan_is_named():
    settings = parse_settings(BASIC, source=None, directory=Path(), environ={})
    plans = Plans(settings.plans, settings.accounts, SteppingClock())
    plans.need("default", "webhooks")
    with pytest.raises(NotOnPlan) as refused:
        plans.need("default", "csv")
    assert refused.value.message == (
        "The plan basic doesn't include csv; ask for a plan that does (GET /api/plan shows yours)."
    )


async def test_an_endpoint_more_than_the_plan_has_is_refused(gateway):
    async with gateway.database.begin() as connection:
        await gateway.plans.take(connection, "default", "endpoints")
        await gateway.destinations.add(connection, destination(LIVE))

    async with gateway.database.begin() as connection:
        with pytest.raises(PlanLimitReached) as refused:
            await gateway.plans.take(connection, "default", "endpoints")
        assert (refused.value.limit, refused.value.used, refused.value.resets_at) == (1, 1, None)
        await gateway.plans.take(connection, "default", "people")  # this plan doesn't limit them


def test_a_plan_that_is_not_there_is_a_problem_of_the_settings():
    with pytest.raises(SettingsError, match=r"\[accounts\.lakeside\] plan: there is no such table"):
        parse_settings(
            '[plans.basic]\n[accounts.lakeside]\nplan = "gold"\n',
            source=None,
            directory=Path(),
            environ={},
        )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 4, 30, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_month_ends_where_the_next_begins(now, expected):
    assert next_period(now) == expected


def test_a_threshold_counts_once_when_it_is_reached():
    assert crossed((80, 100), 10, 7, 8) == [80]
    assert crossed((80, 100), 10, 8, 9) == []
    assert crossed((100, 80), 10, 0, 10) == [80, 100]
