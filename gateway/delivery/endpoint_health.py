"""Follow how destinations are, as outcomes come in: hold them, warn, disable, welcome back.

In the transaction that stores the outcomes, so that what is known of a destination and
what was tried never differ.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import isoformat
from gateway.delivery.circuit_breaker import BreakerRules, Transition, transition
from gateway.model.circuit_breaker import HEALTHY, EndpointHealth
from gateway.model.delivery import Destination, Outcome
from gateway.model.event import EventDraft
from gateway.model.ids import new_id
from gateway.storage.stores import destinations as destination_store
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.outbox import Settled

_log = logging.getLogger(__name__)


class LaneSignal(Enum):
    """What a lane has to know when its outcomes are stored."""

    HELD = "held"
    """Nothing more goes out for now: what waits is given back."""
    RESUMED = "resumed"
    """It works again: everything that is due may go."""


class HealthUpdate(NamedTuple):
    """What came of some outcomes: news to publish, destinations that changed their standing.

    ``held_until`` says, for those that are held, when the next try may be.
    """

    news: Sequence[EventDraft]
    standings: Mapping[str, LaneSignal]
    held_until: Mapping[str, datetime]


NOTHING: Final = HealthUpdate((), {}, {})


class HealthTracker:
    """Keeps the destinations' conditions."""

    def __init__(self, destinations: DestinationStore, rules: BreakerRules) -> None:
        self._destinations = destinations
        self._rules = rules

    async def follow(
        self, connection: AsyncConnection, settled: Sequence[Settled], now: datetime
    ) -> HealthUpdate:
        """Write down what ``settled`` says of each destination; returns what follows from it."""
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        for item in settled:
            if not _needed_no_call(item.outcome):
                outcomes[item.delivery.destination_id].append(item.outcome)
        worked = {key for key, each in outcomes.items() if any(o.delivered for o in each)}
        failed = {key for key, each in outcomes.items() if not all(o.delivered for o in each)}
        # All in one order, so that two processes never wait for each other.
        before = await destination_store.conditions(connection, outcomes) if failed else {}
        before |= await destination_store.succeeded(connection, worked, now)
        troubled = failed | {key for key, each in before.items() if each != HEALTHY}
        if not troubled:
            return NOTHING
        transitions = {
            key: transition(before[key], outcomes[key], self._rules, now)
            for key in sorted(troubled & before.keys())  # one may have been removed meanwhile
        }
        await destination_store.write(
            connection,
            {key: each.health for key, each in transitions.items() if each.health != before[key]},
        )
        gone = {key for key in transitions if any(outcome.gone for outcome in outcomes[key])}
        return HealthUpdate(
            await self._news(connection, transitions, gone, now),
            _standings(before, transitions, now),
            {
                key: each.health.breaker.held_until
                for key, each in transitions.items()
                if each.health.breaker.held_until is not None
            },
        )

    async def _news(
        self,
        connection: AsyncConnection,
        transitions: Mapping[str, Transition],
        gone: set[str],
        now: datetime,
    ) -> list[EventDraft]:
        news = []
        for key, each in transitions.items():
            if key in gone or each.disable:
                reason = "gone" if key in gone else "failing"
                stopped = await self._destinations.disable(connection, key, reason, now)
                if stopped is not None:
                    _log.error("endpoint disabled", extra={"destination_id": key, "reason": reason})
                    news.append(_event("endpoint.disabled", stopped, now, reason=reason))
                continue
            if each.recovered_from is None and not each.warn:
                continue
            about = await self._destinations.for_recovery(connection, key)
            if about is None:
                continue
            if each.recovered_from is not None:
                since = isoformat(each.recovered_from)
                _log.info("endpoint recovered", extra={"destination_id": key, "since": since})
                news.append(_event("endpoint.recovered", about, now, failing_since=since))
            if each.warn and each.health.failing_since is not None:
                since = isoformat(each.health.failing_since)
                _log.warning("endpoint failing", extra={"destination_id": key, "since": since})
                news.append(_event("endpoint.failing", about, now, failing_since=since))
        return news


def _needed_no_call(outcome: Outcome) -> bool:
    """Say whether nobody was asked: then nothing is known of how the destination is."""
    return outcome.delivered and outcome.status is None and outcome.error is not None


def _standings(
    before: Mapping[str, EndpointHealth], transitions: Mapping[str, Transition], now: datetime
) -> dict[str, LaneSignal]:
    standings = {}
    for key, each in transitions.items():
        held_until = each.health.breaker.held_until
        if held_until is not None and held_until > now:
            standings[key] = LaneSignal.HELD
        elif before[key].breaker.held_until is not None and held_until is None:
            standings[key] = LaneSignal.RESUMED
    return standings


def _event(kind: str, destination: Destination, now: datetime, **said: Any) -> EventDraft:
    return EventDraft(
        id=new_id("evt", now),
        type=kind,
        account_id=destination.account_id,
        mode=destination.mode,
        site=destination.site,
        subject=destination.id,
        data={
            "endpoint_id": destination.id,
            "name": destination.name,
            "reason": None,
            **said,
        },
        occurred_at=now,
        actor="gateway",
    )
