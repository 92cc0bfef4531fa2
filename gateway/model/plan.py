"""Plans: what an account's plan allows, how much of it is used, and why something is refused."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from gateway.errors import PlanLimitReached, Problem

PACKAGES: Final = "packages_per_month"
ENDPOINTS: Final = "endpoints"
PEOPLE: Final = "people"
LimitName = Literal["packages_per_month", "endpoints", "people"]


class PlanRefusal(msgspec.Struct, frozen=True):
    """Why something is refused: ``used`` of ``limit`` are in use until ``resets_at`` (ISO 8601)."""

    limit_name: LimitName
    limit: int
    used: int
    resets_at: str | None = None

    @property
    def sentence(self) -> str:
        """Return the reason as a sentence that says what to do next."""
        until = f" until {self.resets_at}" if self.resets_at else ""
        return (
            f"The plan's {self.limit_name} is used up{until} ({self.used} of {self.limit}): "
            "ask for a larger plan (GET /api/plan shows the usage)."
        )

    def error(self, details: Sequence[Problem] = ()) -> PlanLimitReached:
        """Return the error that refuses the whole request."""
        return PlanLimitReached(
            self.sentence,
            details,
            limit_name=self.limit_name,
            limit=self.limit,
            used=self.used,
            resets_at=self.resets_at,
        )


class LimitUsage(msgspec.Struct, frozen=True):
    """How much of a limit is used; ``resets_at`` is empty for a limit that doesn't reset."""

    limit_name: LimitName
    limit: int
    used: int
    resets_at: str | None = None


class PlanUsage(msgspec.Struct, frozen=True):
    """An account's plan and its usage; ``plan`` is ``None`` without one, which limits nothing."""

    account_id: str
    plan: str | None
    features: tuple[str, ...] = ("*",)
    overage: str | None = None
    limits: tuple[LimitUsage, ...] = ()


def period_of(now: datetime) -> str:
    """Return the month that ``now`` is in (UTC), as ``2026-04``."""
    return f"{now.astimezone(UTC):%Y-%m}"


def next_period(now: datetime) -> datetime:
    """Return the first moment of the next month (UTC), when monthly limits reset."""
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = start.month % 12 + 1
    return start.replace(year=start.year + (month == 1), month=month)


def crossed(percents: tuple[int, ...], limit: int, before: int, after: int) -> list[int]:
    """Return the percentages of ``limit`` that usage reached from ``before`` to ``after``."""
    return [
        percent for percent in sorted(percents) if before * 100 < percent * limit <= after * 100
    ]
