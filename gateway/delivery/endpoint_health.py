"""Track each destination's health as outcomes come in: hold, resume, warn, disable, recover.

It runs in the transaction that stores the outcomes, so that a destination's health and its
attempts never disagree.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import isoformat
from gateway.delivery.circuit_breaker import BreakerRules, Transition, transition
from gateway.model.change import Change
from gateway.model.circuit_breaker import HEALTHY, EndpointHealth
from gateway.model.delivery import Destination, Outcome
from gateway.model.event import EventDraft
from gateway.model.ids import new_id
from gateway.storage.stores import destinations as destination_store
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.outbox import Settled

_log = logging.getLogger(__name__)


class LaneSignal(Enum):
    """The action of a lane after its outcomes are stored."""

    HOLD = "hold"
    """Stop sending for now, and release the queued deliveries."""
    RESUME = "resume"
    """The destination works again: send everything that is due."""


class HealthUpdate(NamedTuple):
    """The consequences of some outcomes, by destination id.

    ``events`` are to be published, ``signals`` go to the lanes, ``held_until`` is when a held
    destination may be called again, ``noted`` goes into the feed of changes.
    """

    events: Sequence[EventDraft]
    signals: Mapping[str, LaneSignal]
    held_until: Mapping[str, datetime]
    noted: Sequence[Change] = ()


NO_CHANGE: Final = HealthUpdate((), {}, {})


class HealthTracker:
    """Reads, judges and writes the health of destinations."""

    def __init__(self, destinations: DestinationStore, rules: BreakerRules) -> None:
        self._destinations = destinations
        self._rules = rules

    async def apply(
        self, connection: AsyncConnection, settled: Sequence[Settled], now: datetime
    ) -> HealthUpdate:
        """Write each destination's health after ``settled``; returns the consequences."""
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        for item in settled:
            if was_called(item.outcome):
                outcomes[item.delivery.destination_id].append(item.outcome)
        worked = {key for key, each in outcomes.items() if any(o.delivered for o in each)}
        failed = {key for key, each in outcomes.items() if not all(o.delivered for o in each)}
        # In one order, so that two processes never deadlock.
        before = await destination_store.conditions(connection, outcomes) if failed else {}
        before |= await destination_store.succeeded(connection, worked, now)
        unhealthy = failed | {key for key, each in before.items() if each != HEALTHY}
        if not unhealthy:
            return NO_CHANGE
        transitions = {
            key: transition(before[key], outcomes[key], self._rules, now)
            for key in sorted(unhealthy & before.keys())  # one may have been removed since
        }
        changed = {
            key: each.health for key, each in transitions.items() if each.health != before[key]
        }
        await destination_store.write(connection, changed)
        gone = {key for key in transitions if any(outcome.gone for outcome in outcomes[key])}
        return HealthUpdate(
            await self._events(connection, transitions, gone, now),
            _signals(before, transitions, now),
            {
                key: each.health.breaker.held_until
                for key, each in transitions.items()
                if each.health.breaker.held_until is not None
            },
            _noted(settled, changed),
        )

    async def _events(
        self,
        connection: AsyncConnection,
        transitions: Mapping[str, Transition],
        gone: set[str],
        now: datetime,
    ) -> list[EventDraft]:
        events = []
        for key, each in transitions.items():
            if key in gone or each.disable:
                reason = "gone" if key in gone else "failing"
                stopped = await self._destinations.disable(connection, key, reason, now)
                if stopped is not None:
                    _log.error("endpoint disabled", extra={"destination_id": key, "reason": reason})
                    events.append(_event("endpoint.disabled", stopped, now, reason=reason))
                continue
            if each.recovered_from is None and not each.warn:
                continue
            about = await self._destinations.for_recovery(connection, key)
            if about is None:
                continue
            if each.recovered_from is not None:
                since = isoformat(each.recovered_from)
                _log.info("endpoint recovered", extra={"destination_id": key, "since": since})
                events.append(_event("endpoint.recovered", about, now, failing_since=since))
            if each.warn and each.health.failing_since is not None:
                since = isoformat(each.health.failing_since)
                _log.warning("endpoint failing", extra={"destination_id": key, "since": since})
                events.append(_event("endpoint.failing", about, now, failing_since=since))
        return events


def was_called(outcome: Outcome) -> bool:
    """Return whether the sink called the destination; otherwise its health doesn't change."""
    return not outcome.delivered or outcome.status is not None or outcome.error is None


def _signals(
    before: Mapping[str, EndpointHealth], transitions: Mapping[str, Transition], now: datetime
) -> dict[str, LaneSignal]:
    signals = {}
    for key, each in transitions.items():
        held_until = each.health.breaker.held_until
        if held_until is not None and held_until > now:
            signals[key] = LaneSignal.HOLD
        elif before[key].breaker.held_until is not None and held_until is None:
            signals[key] = LaneSignal.RESUME
    return signals


def _noted(settled: Sequence[Settled], changed: Collection[str]) -> list[Change]:
    """Return the endpoints whose health changed, with the sites of the events that showed it."""
    found = {
        (event.account_id, event.mode, event.site, item.delivery.destination_id)
        for item in settled
        if item.delivery.destination_id in changed
        for event in (item.delivery.event,)
    }
    return [
        Change("endpoints", account_id, mode, site, [endpoint_id])
        for account_id, mode, site, endpoint_id in sorted(found, key=str)
    ]


def _event(kind: str, destination: Destination, now: datetime, **data: Any) -> EventDraft:
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
            **data,
        },
        occurred_at=now,
        actor="gateway",
    )
