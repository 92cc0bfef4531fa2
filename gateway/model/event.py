"""An event: a record of something that happened. Written once, never changed."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from gateway.model.account import Mode

# Not matched by "*": events about a subscription itself, which must be named.
_NOT_UNDER_STAR: Final = ("endpoint.", "plan.", "webhook.test")
LATE: Final = "late"
NO_DESTINATION: Final = "no_destination"
NO_MATCH: Final = "no_match"
_NOT_SENT: Final[Mapping[str, str]] = {
    LATE: "it came late: what it reports was overtaken already",
    NO_DESTINATION: "the account had no destination",
    NO_MATCH: "no destination subscribes to this type for its site and mode",
}
_PATTERN: Final = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Something that just happened and is to be recorded under ``id`` (``evt_…``).

    ``subject`` is the id of what it happened to (a package, a queued job), ``data`` the facts a
    subscriber receives, keys in snake_case. ``only_destination`` limits the fan-out to one
    destination, for a test event. ``routing`` has facts that decide which destinations get it: it
    is stored with the event, and never sent.
    """

    id: str
    type: str
    account_id: str
    mode: Mode
    subject: str
    data: Mapping[str, Any]
    occurred_at: datetime
    actor: str
    site: str | None = None
    ref: bytes | None = None
    status_after: str | None = None
    late: bool = False
    only_destination: str | None = None
    trace: str | None = None
    routing: Mapping[str, Any] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, as it was recorded.

    ``purged``: its data was erased at its age. ``not_sent`` is why it went to no destination, a
      word or ``plugin:<name>``; :func:`why_not_sent` says it in a sentence. ``routing`` has facts
      for ``route_events`` that subscribers don't get: an order's ``metadata``, whether a
      prescription is ``controlled``.
    """

    id: str
    type: str
    account_id: str
    mode: Mode
    subject: str
    data: Mapping[str, Any]
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    site: str | None = None
    status_after: str | None = None
    late: bool = False
    purged: bool = False
    trace: str | None = None
    not_sent: str | None = None
    routing: Mapping[str, Any] = {}


def why_not_sent(reason: str) -> str:
    """Return the sentence for :attr:`Event.not_sent`."""
    plugin = reason.removeprefix("plugin:")
    if plugin != reason:
        return f"the plugin {plugin} left no destination for it (route_events)"
    return _NOT_SENT.get(reason, reason)


class Published(NamedTuple):
    """The events of one transaction, in their order, with their deliveries and destinations.

    ``claimed`` are those of the deliveries that this process sends at once.
    """

    events: Sequence[Event]
    delivery_ids: Sequence[str]
    destination_ids: frozenset[str]
    claimed: Sequence[Any] = ()


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the catalog: an event type's meaning and the schema of its ``data``.

    ``sample`` is an example of ``data``; ``schema`` a JSON Schema (2020-12) of it. ``shown`` are
    names of ``data`` without patient data: a caller without the reveal permissions sees them,
    while other names that the gateway doesn't know are hidden. Pages show an event by its
    ``headline`` (``"Order exported"``), else by its type, with ``icon``, a symbol of the pages,
    and ``state``, the colour.
    """

    type: str
    meaning: str
    sample: Mapping[str, Any]
    schema: Mapping[str, Any]
    shown: tuple[str, ...] = ()
    headline: str = ""
    icon: str = "i-events"
    state: Literal["", "ok", "warn", "bad", "move"] = ""


def is_pattern(text: str) -> bool:
    """Return whether ``text`` is a valid pattern: ``*``, ``delivery.*`` or a whole type."""
    return _PATTERN.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def matches(patterns: Sequence[str], event_type: str) -> bool:
    """Return whether one of ``patterns`` (a tuple) matches ``event_type``."""
    for pattern in patterns:
        if pattern == "*":
            if not event_type.startswith(_NOT_UNDER_STAR):
                return True
        elif pattern.endswith(".*"):
            if event_type.startswith(pattern[:-1]):
                return True
        elif pattern == event_type:
            return True
    return False
