"""A delivery: one event on its way to one destination, and its attempts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from gateway.model.account import Mode
from gateway.model.circuit_breaker import CLOSED, Breaker
from gateway.model.event import Event

DeliveryState = Literal["pending", "delivered", "exhausted"]
DestinationState = Literal["active", "paused", "disabled"]


FAILURES: Final = frozenset({"failing", "gone"})
"""The reasons of a destination that the gateway disabled; any other is a person's or a plugin's."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver of events, with the settings of its deliveries.

    ``events`` are patterns. ``settings`` belong to the sink and are sealed in the
    database. A ``paused`` destination keeps its deliveries for later; a
    ``disabled`` one gets none, since ``disabled_at``. ``failing_since`` is the first
    failure after the last success.
    """

    id: str
    account_id: str
    mode: Mode
    sink: str
    name: str
    events: tuple[str, ...]
    settings: Mapping[str, Any]
    site: str | None = None
    state: DestinationState = "active"
    state_reason: str | None = None
    max_in_flight: int = 32
    max_per_second: float | None = None
    ordered: bool = False
    created_at: datetime
    last_success_at: datetime | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    breaker: Breaker = CLOSED


class RoutedDestination(msgspec.Struct, frozen=True, kw_only=True):
    """A destination as ``route_events`` sees it.

    ``settings`` has only the settings that its sink declares ``public``: never a secret. ``events``
    are the patterns that it subscribes to. Disabled ones are included: they get no events, but an
    event may be meant for one.
    """

    id: str
    name: str
    sink: str
    site: str | None
    settings: Mapping[str, Any]
    account_id: str = "default"
    mode: Mode = "live"
    events: tuple[str, ...] = ("*",)
    state: DestinationState = "active"


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery: ``lease`` proves the claim, ``attempt`` counts from 1.

    ``retry_index`` is the place in the retry schedule, from 0; ``first_attempt_at``
    is when this run through the schedule began.
    """

    id: str
    account_id: str
    destination_id: str
    event: Event
    attempt: int
    retry_index: int
    lease: str
    created_at: datetime
    first_attempt_at: datetime


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one attempt, as the sink saw it.

    ``status`` is the receiver's response, if any (an HTTP status), ``error`` a word for the failure
    if there is none (``timeout``, ``dns`` …), ``excerpt`` at most 2 KB of the response.
    ``retry_after_seconds`` is the wait that the receiver asks for; ``gone`` means that it wants no
    more deliveries. ``busy`` means that the whole receiver is busy: its other deliveries wait as
    well. A delivery that needed no call is ``delivered``, with the reason as a word in ``error``.
    """

    delivery_id: str
    delivered: bool
    started_at: datetime
    duration_ms: int
    status: int | None = None
    error: str | None = None
    excerpt: bytes = b""
    retry_after_seconds: float | None = None
    gone: bool = False
    busy: bool = False


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as logged."""

    delivery_id: str
    destination_id: str
    event_id: str
    event_type: str
    number: int
    started_at: datetime
    duration_ms: int
    delivered: bool
    status: int | None
    error: str | None
    excerpt: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it can be looked up. ``due_at`` is the next attempt while it is pending.

    ``reason`` says why a pending one is not attempted (``paused``, ``disabled``,
    ``breaker_open``), or why an exhausted one has ended early (``removed``).
    """

    id: str
    account_id: str
    destination_id: str
    event_id: str
    event_type: str
    subject: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    created_at: datetime
    first_attempt_at: datetime | None
    finished_at: datetime | None
    reason: str | None = None
