"""Failed keys have a budget by address; valid ones keep working beside a flood of them."""

import logging

import pytest

from gateway.auth.key_throttle import KeyThrottle
from gateway.auth.rate_limits import client_network
from gateway.errors import NotAuthenticated, RateLimited
from gateway.model.account import Caller
from gateway.testing import SteppingClock

CALLER = Caller("default", "live", "key_1", None)


class Lookups:
    """Stands for the database: knows the keys in ``valid`` and counts look-ups."""

    def __init__(self, *valid: str) -> None:
        self.valid = set(valid)
        self.count = 0

    async def authenticate(self, key: str | None) -> Caller:
        self.count += 1
        if key not in self.valid:
            raise NotAuthenticated("unknown")
        return CALLER


@pytest.fixture
def clock():
    return SteppingClock()


async def fail(throttle: KeyThrottle, host: str, times: int = 1) -> None:
    for number in range(times):
        with pytest.raises(NotAuthenticated):
            await throttle.authenticate(f"wrong {number}", host)


async def test_past_its_budget_an_address_costs_no_look_up(clock):
    lookups = Lookups("good")
    throttle = KeyThrottle(lookups, clock, 10, delay_seconds=0)
    await fail(throttle, "203.0.113.5", 10)

    with pytest.raises(RateLimited) as raised:
        await throttle.authenticate("wrong", "203.0.113.5")

    assert lookups.count == 10
    assert (raised.value.policy, raised.value.limit) == ("failed_keys", 10)
    assert raised.value.retry_after_seconds == 6


async def test_a_refusal_without_a_look_up_is_answered_late_and_a_valid_key_is_not(
    clock, monkeypatch
):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    throttle = KeyThrottle(Lookups("good"), clock, 1)
    await throttle.authenticate("good", "192.0.2.1")
    monkeypatch.setattr("gateway.auth.key_throttle.asyncio.sleep", sleep)
    with pytest.raises(NotAuthenticated):
        await throttle.authenticate("wrong", "192.0.2.1")

    assert waited == []
    with pytest.raises(RateLimited):
        await throttle.authenticate("wrong", "192.0.2.1")
    await throttle.authenticate("good", "192.0.2.1")

    assert waited == [1.0]


async def test_the_budget_fills_up_again_evenly(clock):
    throttle = KeyThrottle(Lookups(), clock, 10, delay_seconds=0)
    await fail(throttle, "203.0.113.5", 10)
    clock.step(12)

    await fail(throttle, "203.0.113.5", 2)

    with pytest.raises(RateLimited):
        await throttle.authenticate("wrong", "203.0.113.5")


async def test_another_address_has_its_own_budget(clock):
    throttle = KeyThrottle(Lookups("good"), clock, 10, delay_seconds=0)
    await fail(throttle, "203.0.113.5", 10)

    assert await throttle.authenticate("good", "203.0.113.6") == CALLER


async def test_a_recently_valid_key_works_from_an_address_without_budget(clock):
    lookups = Lookups("good")
    throttle = KeyThrottle(lookups, clock, 10, delay_seconds=0)
    await throttle.authenticate("good", "203.0.113.5")
    await fail(throttle, "203.0.113.5", 10)
    clock.step(1)

    assert await throttle.authenticate("good", "203.0.113.5") == CALLER
    assert lookups.count == 12  # it is read from the database each time


async def test_a_valid_key_spends_no_budget(clock):
    throttle = KeyThrottle(Lookups("a", "b", "c"), clock, 3, delay_seconds=0)
    for key in ("a", "b", "c") * 10:
        await throttle.authenticate(key, "203.0.113.5")

    await fail(throttle, "203.0.113.5", 3)


async def test_a_revoked_key_loses_its_own_budget(clock):
    lookups = Lookups("good")
    throttle = KeyThrottle(lookups, clock, 2, delay_seconds=0)
    await throttle.authenticate("good", "203.0.113.5")
    lookups.valid.clear()
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            await throttle.authenticate("good", "203.0.113.5")

    with pytest.raises(RateLimited):
        await throttle.authenticate("good", "203.0.113.5")


async def test_after_ten_minutes_without_use_a_key_counts_as_unknown(clock):
    throttle = KeyThrottle(Lookups("good"), clock, 1, delay_seconds=0)
    await throttle.authenticate("good", "203.0.113.5")
    clock.step(601)
    await fail(throttle, "203.0.113.5")

    with pytest.raises(RateLimited):
        await throttle.authenticate("good", "203.0.113.5")


async def test_a_missing_key_is_refused_without_a_budget(clock):
    throttle = KeyThrottle(Lookups(), clock, 1, delay_seconds=0)
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            await throttle.authenticate(None, "203.0.113.5")


async def test_memory_stays_bounded_under_keys_from_everywhere(clock):
    throttle = KeyThrottle(
        Lookups(*map(str, range(500))), clock, 10, max_remembered=100, delay_seconds=0
    )
    for number in range(500):
        await fail(throttle, f"10.0.{number >> 8}.{number & 255}")
        await throttle.authenticate(str(number), "192.0.2.1")

    assert len(throttle._budgets) <= 100
    assert len(throttle._valid_until) <= 100


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("no address" * 100, ("no address" * 100)[:64]),
        ("", ""),
    ],
)
def test_limits_by_address_take_an_ipv6_network_for_one_client(host, network):
    assert client_network(host) == network


async def test_wrong_keys_over_http_end_in_429_and_leave_a_used_key_alone(harness, caplog):
    caplog.set_level(logging.WARNING)
    async with harness("[http]\nfailed_keys_per_minute = 5\n[plugins.json_api]\n") as gateway:
        key = await gateway.issue_key()
        assert (await gateway.get("/api/packages", key)).status_code == 200
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        answers = [
            await gateway.request("GET", "/api/packages", "sk_live_no", headers=forwarded)
            for _ in range(8)
        ]
        mine = await gateway.get("/api/packages", key)

    assert [each.status_code for each in answers] == [401] * 5 + [429] * 3
    assert answers[-1].json()["code"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert mine.status_code == 200
    assert [each.getMessage() for each in caplog.records if "trusted_proxies" in each.getMessage()]


async def test_behind_a_trusted_proxy_each_client_has_its_own_budget(harness):
    toml = '[http]\nfailed_keys_per_minute = 2\ntrusted_proxies = ["127.0.0.0/8"]\n'
    async with harness(toml + "[plugins.json_api]\n") as gateway:

        async def status(key: str, client: str) -> int:
            headers = {"X-Forwarded-For": f"198.51.100.1, {client}"}
            answer = await gateway.request("GET", "/api/packages", key, headers=headers)
            return answer.status_code

        first = [await status("sk_live_no", "203.0.113.9") for _ in range(3)]
        other = await status("sk_live_no", "203.0.113.10")

    assert first == [401, 401, 429]
    assert other == 401


async def test_without_trusted_proxies_a_client_cannot_name_its_address(harness):
    toml = "[http]\nfailed_keys_per_minute = 2\n[plugins.json_api]\n"
    async with harness(toml) as gateway:
        statuses = [
            (
                await gateway.request(
                    "GET", "/api/packages", "no", headers={"X-Forwarded-For": f"203.0.113.{n}"}
                )
            ).status_code
            for n in range(3)
        ]

    assert statuses == [401, 401, 429]
