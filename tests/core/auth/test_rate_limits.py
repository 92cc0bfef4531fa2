"""How much a key may: exact numbers, told in the answer, counted for all processes together."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from core.gateways import opened, sqlite_url
from waiting import PATIENCE_SECONDS

from gateway.auth.rate_limits import Limits, LocalWindow
from gateway.clock import SteppingClock, SystemClock
from gateway.errors import RateLimited
from gateway.settings import LimitsTable, RedisTable

# The middle of a minute and of an hour, so that no window turns while a test runs.
NOON = 1_800_000_030.0


class WallClock(SystemClock):
    """A clock whose wall is moved with ``moment``."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)


@pytest.fixture
def moment(monkeypatch):
    """What is taken for the present; a list, so that a test may move it."""
    now = [NOON]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def limits(redis_url=None, clock=None, **table) -> Limits:
    redis = None if redis_url is None else RedisTable(url=redis_url)
    return Limits(LimitsTable(**table), redis, clock or WallClock())


async def taken(limits, policy, actor="key_1", cost=1, most=20_000) -> int:
    """Take until it is refused; returns how much was let through."""
    through = 0
    while through < most:
        try:
            await limits.take(policy, actor, cost)
        except RateLimited:
            break
        through += cost
    return through


@pytest.mark.parametrize(
    ("policy", "cost", "allowed"),
    [("orders", 1, 600), ("orders_per_hour", 100, 10_000), ("updates", 1, 600), ("reads", 1, 60)],
)
async def test_the_contracts_numbers_hold_exactly(moment, policy, cost, allowed):
    assert await taken(limits(), policy, cost=cost) == allowed


@pytest.mark.parametrize(
    ("policy", "table"),
    [
        ("orders", {"orders_requests_per_minute": 7}),
        ("orders_per_hour", {"orders_per_hour": 7}),
        ("updates", {"updates_requests_per_minute": 7}),
        ("reads", {"reads_per_minute": 7}),
    ],
)
async def test_settings_change_each_number(moment, policy, table):
    assert await taken(limits(**table), policy) == 7


@pytest.mark.parametrize(
    ("policy", "what", "window_seconds"),
    [
        ("orders", "order requests per minute", 60),
        ("orders_per_hour", "orders per hour", 3600),
        ("updates", "updating requests per minute", 60),
        ("reads", "reading requests per minute", 60),
    ],
)
async def test_a_refusal_says_which_limit_and_when_to_come_back(
    moment, policy, what, window_seconds
):
    strict = limits(
        orders_requests_per_minute=2,
        orders_per_hour=2,
        updates_requests_per_minute=2,
        reads_per_minute=2,
    )
    await taken(strict, policy)
    with pytest.raises(RateLimited) as raised:
        await strict.take(policy, "key_1")

    refused = raised.value
    assert refused.message == f"The limit of 2 {what} is reached; wait, then send it again."
    assert (refused.policy, refused.limit) == (policy, 2)
    assert refused.window_seconds == window_seconds
    assert isinstance(refused.retry_after_seconds, int)
    assert 1 <= refused.retry_after_seconds <= window_seconds


async def test_the_wait_is_within_the_window_with_any_clock(moment):
    strict = limits(clock=SteppingClock(), reads_per_minute=1)
    await strict.take("reads", "key_1")
    with pytest.raises(RateLimited) as raised:
        await strict.take("reads", "key_1")

    assert 1 <= raised.value.retry_after_seconds <= 60


async def test_after_retry_after_a_key_may_send_again(moment):
    strict = limits(reads_per_minute=60)
    assert await taken(strict, "reads") == 60
    with pytest.raises(RateLimited) as raised:
        await strict.take("reads", "key_1")

    moment[0] += raised.value.retry_after_seconds + 1
    await strict.take("reads", "key_1")


async def test_around_the_turn_of_a_minute_no_more_gets_through(moment):
    """A window that began anew with each minute would let 120 through within two seconds."""
    moment[0] = 1_800_000_059.0
    strict = limits(reads_per_minute=60)
    before = await taken(strict, "reads")
    moment[0] += 2
    after = await taken(strict, "reads")

    assert before == 60
    assert after <= 2


async def test_a_key_that_was_quiet_for_two_windows_has_all_of_its_limit_again(moment):
    strict = limits(reads_per_minute=60)
    await taken(strict, "reads")
    moment[0] += 121

    assert await taken(strict, "reads") == 60


async def test_each_key_and_each_policy_is_counted_for_itself(moment):
    strict = limits(reads_per_minute=3, updates_requests_per_minute=3)
    assert await taken(strict, "reads", "key_1") == 3

    assert await taken(strict, "reads", "key_2") == 3
    assert await taken(strict, "updates", "key_1") == 3


async def test_refused_requests_are_not_counted(moment):
    strict = limits(orders_per_hour=100)
    await strict.take("orders_per_hour", "key_1", 60)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await strict.take("orders_per_hour", "key_1", 41)
    await strict.take("orders_per_hour", "key_1", 40)

    with pytest.raises(RateLimited):
        await strict.take("orders_per_hour", "key_1", 1)


async def test_more_than_the_whole_limit_at_once_is_refused_and_costs_nothing(moment):
    strict = limits(orders_per_hour=100)
    with pytest.raises(RateLimited):
        await strict.take("orders_per_hour", "key_1", 101)
    await strict.take("orders_per_hour", "key_1", 100)


async def test_many_at_once_get_no_more_through_than_one_after_the_other(moment):
    strict = limits(reads_per_minute=10)
    answers = await asyncio.gather(
        *(strict.take("reads", "key_1") for _ in range(50)), return_exceptions=True
    )

    assert sum(isinstance(each, RateLimited) for each in answers) == 40
    assert sum(each is None for each in answers) == 10


async def test_counters_that_ran_out_are_dropped():
    """A gateway that runs for years meets many keys and addresses."""
    window = LocalWindow()
    for number in range(25_000):
        window.take(("reads", f"key_{number}"), 1, limit=60, seconds=60, now=NOON + number / 10)

    assert len(window) < 12_000
    # The one that came last still counts.
    assert (
        window.take(("reads", "key_24999"), 60, limit=60, seconds=60, now=NOON + 2500) is not None
    )


async def test_two_processes_share_one_count(redis_url):
    one, two = limits(redis_url, reads_per_minute=10), limits(redis_url, reads_per_minute=10)
    try:
        assert await taken(one, "reads", most=6) == 6
        assert await taken(two, "reads") == 4
        with pytest.raises(RateLimited) as raised:
            await one.take("reads", "key_1")
        assert 1 <= raised.value.retry_after_seconds <= 60
        assert await taken(two, "reads", "key_2") == 10
    finally:
        await one.close()
        await two.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_without_redis_each_process_counts_for_itself(moment, caplog, url):
    """Limits that can't be shared are no reason to turn a pharmacy's orders away."""
    alone = limits(url, reads_per_minute=10)
    assert await taken(alone, "reads") == 10
    await alone.close()

    assert caplog.messages == [
        "Redis is unavailable (ConnectionError): this process counts rate limits alone"
    ]


async def test_a_redis_that_hangs_is_asked_again_only_after_a_while(moment, caplog):
    # Given a Redis that takes connections and never answers
    asked = []
    hung = await asyncio.start_server(lambda *streams: asked.append(streams), "127.0.0.1", 0)
    host, port = hung.sockets[0].getsockname()
    clock = SteppingClock(datetime.now(UTC))
    alone = limits(f"redis://{host}:{port}/0", clock, reads_per_minute=10)

    # When a key is counted several times within five seconds, and once after
    async with asyncio.timeout(PATIENCE_SECONDS):
        await alone.take("reads", "key_1")
        clock.step(4.9)
        await alone.take("reads", "key_1")
        first = len(asked)
        clock.step(0.1)
        await alone.take("reads", "key_1")

    # Then it was asked twice, and nobody was turned away
    assert first > 0
    assert len(asked) == 2 * first
    assert len(caplog.messages) == 1
    await alone.close()
    for _, writer in asked:
        writer.close()
    hung.close()


async def test_a_gateway_lets_go_of_redis_when_it_closes(redis_url, tmp_path):
    toml = f'[redis]\nurl = "{redis_url}"'
    async with opened(sqlite_url(tmp_path), tmp_path, toml=toml) as gateway:
        await gateway.limits.take("reads", "key_1")
    # What was left open would be told as a ResourceWarning, which is an error here.
