"""A gateway with two sites in Toronto, whose clock a test sets; days, doors and bags for it."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from gateway.testing import GatewayHarness, SteppingClock

# The day that ends summer time in Toronto: 25 hours.
DAY: Final = "2026-11-01"
MORNING_AFTER: Final = datetime(2026, 11, 2, 13, 0, tzinfo=UTC)  # 8:00 there
TOML: Final = """
[limits]
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
reads_per_minute = 1000000
updates_requests_per_minute = 1000000
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
[[sites]]
code = "harbour"
name = "Harbour"
timezone = "America/Toronto"
country = "CA"
[plugins.json_api]
[plugins.reports]
"""


class Day:
    """A day's work of a running gateway."""

    def __init__(self, gateway: GatewayHarness, key: str) -> None:
        self.gateway = gateway
        self.key = key

    async def bags(self, orders: Sequence[dict[str, Any]]) -> list[str]:
        """Hand orders in; returns the packages' ids."""
        ids: list[str] = []
        for start in range(0, len(orders), 100):
            sent = {"orders": [order(**each) for each in orders[start : start + 100]]}
            answer = await self.gateway.post("/api/webhook/orders", self.key, sent)
            assert answer.status_code == 200, answer.text
            ids += [each["package_id"] for each in answer.json()["results"]]
        return ids

    async def report(self, updates: Sequence[dict[str, Any]]) -> None:
        """Report what happened at doors."""
        for start in range(0, len(updates), 100):
            sent = {"events": list(updates[start : start + 100])}
            answer = await self.gateway.post("/api/delivery-events", self.key, sent)
            assert answer.status_code == 200, answer.text
            assert answer.json()["accepted"] == len(sent["events"]), answer.text

    async def get(self, path: str) -> Any:
        """Ask for a report."""
        answer = await self.gateway.get(f"/api/reports/{path}", self.key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def signatures(self, *numbers: str, **more: str) -> Any:
        """Ask for a signature log."""
        sent = {"rx_numbers": numbers, **more}
        answer = await self.gateway.post("/api/reports/signatures", self.key, sent)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def close(self, **fields: Any) -> Any:
        """Close a day; returns the response."""
        sent = {"day": DAY, "site": "lakeside", **fields}
        return await self.gateway.post("/api/reports/day/close", self.key, sent)


def order(**changes: Any) -> dict[str, Any]:
    """Return an order of Lakeside's."""
    return {
        "patient_name": "Maria Rodriguez",
        "patient_address": "12 Queen St W, Toronto, ON M5H 2M9",
        "patient_phone": "+14165550123",
        "site": "lakeside",
        **changes,
    }


def delivered(package_id: str, at: str = "2026-11-01T20:00:00Z", **more: Any) -> dict[str, Any]:
    """Return the report of a delivery."""
    return {
        "package_id": package_id,
        "event": "delivery.completed",
        "occurred_at": at,
        **more,
    }


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(MORNING_AFTER)


@pytest.fixture
async def day(harness: Any, clock: SteppingClock) -> AsyncIterator[Day]:
    async with harness(TOML, clock=clock) as gateway:
        yield Day(gateway, await gateway.issue_key())
